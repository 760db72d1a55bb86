"""A real Prometheus with the rules of deploy/prometheus raises an alert for a fault of a real server."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
from tests.faults.test_full_disk import reject_rows

from tickwire.ops.process_resources import DiskSpace
from tickwire.server.routes import metrics as metrics_route
from tickwire.testing.prometheus import PROMETHEUS, evaluate, run_prometheus
from tickwire.testing.server import RunningServer, run_server
from tickwire.testing.waiting import wait_until
from tickwire.testing.wire import open_stream

RULES = Path(__file__).parents[2] / "deploy" / "prometheus" / "tickwire-rules.yml"
# Other programs on the machine can cause these alerts, because all ranges are short.
LOAD_ALERTS = {"TickwireDeliverySlow", "TickwireDiskAlmostFull", "TickwireDown", "TickwireLoopSlow"}
pytestmark = pytest.mark.skipif(PROMETHEUS is None, reason="Prometheus is not installed")


def shorten(rules: str) -> str:
    """Return the rules with ranges of 10 s instead of minutes and hours, and alerts that wait for nothing."""
    return re.sub(r"\[\d+[mh]\]", "[10s]", re.sub(r"for: \d+m", "for: 0s", rules))


@contextlib.asynccontextmanager
async def watched_server(folder: Path, **settings: object) -> AsyncIterator[tuple[RunningServer, httpx2.AsyncClient]]:
    """Run a server, and a Prometheus that has read its metrics. Yield the server, and a client of Prometheus."""
    rules = folder / "rules.yml"
    rules.write_text(shorten(RULES.read_text()))
    async with (
        run_server(**settings) as server,
        run_prometheus(folder, {"a": server.url.removeprefix("http://")}, rules) as prometheus,
    ):
        await wait_until(lambda: evaluate(prometheus, "tickwire_gaps_total"))
        assert await firing(prometheus) <= LOAD_ALERTS
        yield server, prometheus


async def firing(prometheus: httpx2.AsyncClient) -> set[str]:
    """Return the names of the alerts that fire."""
    return {each["metric"]["alertname"] for each in await evaluate(prometheus, 'ALERTS{alertstate="firing"}')}


async def wait_until_firing(prometheus: httpx2.AsyncClient, *names: str) -> None:
    """Wait until the alerts have fired. An alert may end before the next one fires."""
    missing = {*names}

    async def have_fired() -> bool:
        missing.difference_update(await firing(prometheus))
        return not missing

    await wait_until(have_fired)


async def publish(server: RunningServer, *prices: float) -> int:
    async with httpx2.AsyncClient(base_url=server.url) as client:
        answer = await client.post("/v1/quotes", json=[{"symbol": "A", "last": price} for price in prices])
    return answer.status_code


async def test_a_stale_feed(tmp_path: Path) -> None:
    async with watched_server(tmp_path, stale_after=2) as (server, prometheus):
        assert await publish(server, 1.0) == 201
        await wait_until_firing(prometheus, "TickwireFeedStale", "TickwireNotReady", "TickwireFreshnessBudget")


async def test_a_slow_event_loop(tmp_path: Path) -> None:
    async with watched_server(tmp_path) as (_, prometheus):

        async def block_the_loop() -> None:
            while True:
                until = time.monotonic() + 0.2
                while time.monotonic() < until:
                    pass
                await asyncio.sleep(0.05)

        blocking = asyncio.create_task(block_the_loop())
        await wait_until_firing(prometheus, "TickwireLoopSlow")
        blocking.cancel()


async def test_gaps_and_failed_resumes(tmp_path: Path) -> None:
    """The reader returns to a server whose journal has been replaced."""
    async with watched_server(tmp_path) as (server, prometheus):
        assert await publish(server, 1.0) == 201
        async with open_stream(server.url, {"delivery": "all"}, headers={"last-event-id": "other-1"}) as stream:
            await stream.next_events(1, name="gap")
            await wait_until_firing(prometheus, "TickwireGaps", "TickwireResumesFail")


async def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with watched_server(tmp_path, journal=f"sqlite:{tmp_path}/j") as (server, prometheus):
        assert await publish(server, 1.0) == 201
        monkeypatch.setattr(metrics_route, "read_disk_space", lambda _: DiskSpace(10**9, 10**6))
        with reject_rows(tmp_path / "j"):
            assert await publish(server, 2.0) == 503
            await wait_until_firing(prometheus, "TickwireDiskAlmostFull", "TickwireJournalFails", "TickwireNotReady")
