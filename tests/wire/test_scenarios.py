"""Scenarios over HTTP: start, end, durability and halts."""

from __future__ import annotations

from pathlib import Path

from tickwire.testing.feed_server import run_feed_server, wait_for_status
from tickwire.testing.wire import open_stream

HALT_FILE = Path(__file__).parents[2] / "examples" / "scenarios" / "halt.toml"
HALT_APPLE = 'name = "apple"\n[[event]]\nat = "0s"\ndo = "halt"\nsymbols = ["AAPL"]\n'


async def test_a_scenario_starts_and_ends_while_the_market_runs() -> None:
    """At the end of the scenario, its halted symbols trade again. An invalid scenario changes nothing."""
    async with run_feed_server() as feed, open_stream(feed.server.url, {"events": "status"}) as stream:
        await feed.wait_for_state("running")
        assert (await feed.state())["scenario"] is None
        started = await feed.client.put("/v1/simulator/scenario", content=HALT_APPLE)
        assert started.json()["scenario"] == "apple"
        await wait_for_status(stream, scenario="apple", halted=["AAPL"])
        invalid = await feed.client.put("/v1/simulator/scenario", content=HALT_APPLE.replace("halt", "jump"))
        assert (invalid.status_code, invalid.json()["field"]) == (400, "event[0].do")
        assert (await feed.state())["scenario"] == "apple"
        assert (await feed.client.delete("/v1/simulator/scenario")).json()["scenario"] is None
        await wait_for_status(stream, scenario=None, halted=[])
        assert (await feed.client.put("/v1/simulator/scenario", content=b"\xff")).status_code == 400


async def test_an_answered_scenario_change_survives_a_restart(tmp_path: Path) -> None:
    """The change survives even if the market is paused and sends no tick before the restart."""
    options = {"journal": f"sqlite:{tmp_path / 'j'}", "data": tmp_path, "feed": "simulator"}
    async with run_feed_server(**options) as feed:
        await feed.wait_for_state("running")
        await feed.send_command("PAUSE")
        started = await feed.client.put("/v1/simulator/scenario", content=HALT_APPLE)
        assert started.json()["scenario"] == "apple"
    async with run_feed_server(**options) as feed, open_stream(feed.server.url, {"events": "status"}) as stream:
        assert (await feed.state())["scenario"] == "apple"
        await wait_for_status(stream, scenario="apple", halted=["AAPL"])
        await feed.send_command("PAUSE")
        assert (await feed.client.delete("/v1/simulator/scenario")).json()["scenario"] is None
    async with run_feed_server(**options) as feed, open_stream(feed.server.url, {"events": "status"}) as stream:
        assert (await feed.state())["scenario"] is None
        await wait_for_status(stream, scenario=None, halted=[])


async def test_a_halt_publishes_a_status_event_for_its_symbol() -> None:
    """A status event of the feed follows and lists the halted symbols, so that late readers know them."""
    async with (
        run_feed_server(speed=200, scenario=str(HALT_FILE)) as feed,
        open_stream(feed.server.url, {"events": "status"}) as stream,
    ):
        symbol_states: list[tuple[str, str]] = []
        while len(symbol_states) < 6:
            (status,) = await stream.next_events(1, name="status")
            if status.data["symbol"]:
                symbol_states.append((status.data["symbol"], status.data["state"]))
        (status,) = await stream.next_events(1, name="status")
    assert symbol_states[0] == ("AAPL", "halted")
    assert sorted(symbol_states[1:3]) == [("BTC-USD", "halted"), ("ETH-USD", "halted")]
    assert sorted(symbol_states[3:]) == [("AAPL", "running"), ("BTC-USD", "running"), ("ETH-USD", "running")]
    assert status.data["halted"] == []


async def test_only_the_simulator_has_scenarios() -> None:
    async with run_feed_server(feed="http") as feed:
        response = await feed.client.put("/v1/simulator/scenario", content=HALT_APPLE)
        assert response.status_code == 400
        assert "the feed http has no scenarios: only the simulator has scenarios" in response.json()["detail"]
