"""Each process of a cluster decides by itself whether prices are stale."""

from __future__ import annotations

import asyncio

import httpx2

from tickwire.testing.server import ServerProcess, run_server
from tickwire.testing.waiting import wait_until
from tickwire.testing.wire import open_stream


async def read_readiness(url):
    async with httpx2.AsyncClient(base_url=url) as client:
        return await client.get("/readyz")


async def test_edge_is_unready_when_the_only_feed_has_died(nats, name, tmp_path):
    """Until another feed starts, the edge is unready and its readers receive a stale status."""
    journal = f"{nats.url}/{name}"
    options = ("--feed", "simulator", "--role", "feed", "--journal", journal)
    async with run_server(feed="simulator", role="edge", journal=journal, stale_after=1.0) as edge:

        async def has_status(status_code):
            return (await read_readiness(edge.url)).status_code == status_code

        async with open_stream(edge.url, {"events": "status"}) as stream:
            async with ServerProcess(*options, cwd=tmp_path) as feed:
                while (await stream.next_events(1, name="status"))[0].data["state"] != "running":
                    pass
                await feed.kill()
            await wait_until(lambda: has_status(503))
            answer = await read_readiness(edge.url)
            assert answer.json()["detail"] == "the feed simulator is stale"
            assert answer.json()["last_tick_age"] > 1.0
            (stale,) = await stream.next_events(1, name="status")
            assert (stale.id, stale.data["state"]) == (None, "stale")
            assert stale.data["notice"] == "no price has arrived for 1 s"
            async with run_server(feed="simulator", role="feed", journal=journal):
                await wait_until(lambda: has_status(200))
                while (await stream.next_events(1, name="status"))[0].data["state"] != "running":
                    pass


async def test_edges_stay_ready_while_another_process_becomes_the_leader(nats, name, tmp_path):
    journal = f"{nats.url}/{name}"
    shared = {"feed": "simulator", "journal": journal}
    async with (
        ServerProcess("--feed", "simulator", "--role", "feed", "--journal", journal, cwd=tmp_path) as leader,
        run_server(**shared, role="feed") as successor,
        run_server(**shared, role="edge") as first,
        run_server(**shared, role="edge") as second,
    ):
        await wait_until(lambda: all(each.runtime.status.state == "running" for each in (first, second)))
        await leader.kill()
        answers = []
        while not successor.runtime.leadership.runs_feed:
            answers += await asyncio.gather(read_readiness(first.url), read_readiness(second.url))
        assert {answer.status_code for answer in answers} == {200}
        print(f"{len(answers)} answers during the election")
