"""The rehearsal of canaries: it promotes a good version and rolls a bad version back, and no reader loses an event."""

from __future__ import annotations

import pytest
from deploy.rehearsal.programs import missing_programs
from deploy.rehearse_canary import PROGRAMS, rehearse

from tickwire.journal.nats.find_server import find_nats_server

READERS = 100


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("is_faulty", [False, True], ids=["same version", "1 % errors"])
async def test_analysis_promotes_a_good_version_and_rolls_a_bad_one_back(*, is_faulty: bool) -> None:
    missing = missing_programs(PROGRAMS)
    if missing or find_nats_server() is None:
        pytest.skip(f"not installed: {' '.join(missing) or 'nats-server'}")
    report = await rehearse(READERS, is_faulty=is_faulty)
    assert report.is_promoted is not is_faulty
    assert report.events > 0
    if is_faulty:
        assert {each.name for each in report.measurements if not each.is_good} == {"error-ratio"}
