"""Argo Rollouts promotes a good version and rolls a bad version back, and no reader loses an event."""

from __future__ import annotations

import pytest
from deploy.rehearsal.programs import missing_programs
from deploy.rehearse_rollout import PROGRAMS, rehearse

from tickwire.journal.nats.find_server import find_nats_server

READERS = 100


@pytest.mark.long
@pytest.mark.timeout(900)
async def test_controller_promotes_a_good_version_and_rolls_a_bad_one_back() -> None:
    missing = missing_programs(PROGRAMS)
    if missing or find_nats_server() is None:
        pytest.skip(f"not installed (deploy/rehearsal/build.sh builds most): {' '.join(missing) or 'nats-server'}")
    good, bad = await rehearse(READERS)
    assert good.is_promoted
    # At the promotion, the subsets of the DestinationRule swap their labels.
    assert good.weights[:4] == (0, 5, 25, 50)
    assert good.weights[-1] == 0
    assert not bad.is_promoted
    assert bad.weights[-1] == 0
    assert "error-ratio" in bad.reason
    assert min(good.events, bad.events) > 0
