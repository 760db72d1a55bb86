"""Playback commands over HTTP: their effect on the feed, on status events and on readiness."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tickwire.core.codec import encode_json
from tickwire.errors import InputError
from tickwire.simulation.universe import built_in_model
from tickwire.testing.clock import ManualClock
from tickwire.testing.feed_server import FeedServer, run_feed_server, wait_for_status
from tickwire.testing.server import run_server
from tickwire.testing.wire import open_stream

SCENARIOS = Path(__file__).parents[2] / "examples" / "scenarios"
START_S = 1_767_366_000
COMMANDS = ["START", "PAUSE", "RESUME", "STOP", "STEP", "SPEED"]


def write_recording(folder: Path, row_count: int) -> Path:
    """Write a recording of the symbol A with one row a second; the prices are the numbers of the rows."""
    path = folder / "A.csv"
    path.write_text("ts_ns,price\n" + "".join(f"{(START_S + row) * 10**9},{row}\n" for row in range(row_count)))
    return path


async def test_each_command_publishes_a_status_event() -> None:
    """The events come in order; between a pause and a resume, nothing is appended."""
    expected_states = {
        "PAUSE": ("paused", 1.0),
        "SPEED=5": ("paused", 5.0),
        "resume": ("running", 5.0),
        "STOP": ("halted", 5.0),
        "START": ("running", 5.0),
        "STEP=2": ("paused", 5.0),
        "step = 3": ("paused", 5.0),
    }
    async with run_feed_server() as feed, open_stream(feed.server.url, {"events": "status"}) as stream:
        await feed.wait_for_state("running")
        for text, expected in expected_states.items():
            await feed.send_command(text)
            state = None
            while state != expected:
                (status,) = await stream.next_events(1, name="status")
                state = (status.data["state"], status.data["speed"])
            assert status.id is not None
            assert status.data["command"] == text.upper().replace(" ", "")
            if text == "PAUSE":
                head = feed.server.runtime.hub.head.sequence
                for _ in range(100):
                    await asyncio.sleep(0)
                assert feed.server.runtime.hub.head.sequence == head


async def test_a_late_reader_sees_the_pause() -> None:
    async with run_feed_server(speed=2) as feed:
        await feed.send_command("PAUSE")
        state = await feed.state()
        playback = {"feed": "simulator", "mode": "simulated", "state": "paused", "speed": 2.0}
        assert {name: state[name] for name in playback} == playback
        assert state["model"]["version"] == "built-in"
        async with open_stream(feed.server.url, {"events": "status"}) as stream:
            (status,) = await stream.next_events(1, name="status")
        assert (status.data["state"], status.data["model"]) == ("paused", "built-in")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"command":"JUMP"}', "unknown command 'JUMP': choose START, PAUSE, RESUME, STOP, STEP or STEP=n"),
        (b'{"command":"PAUSE=3"}', "unknown command 'PAUSE=3'"),
        (b'{"command":"SPEED=fast"}', "invalid command 'SPEED=fast': expected a number from 0 to 1000"),
        (b'{"command":"SPEED=-1"}', "expected a number from 0 to 1000"),
        (b'{"command":"SPEED=nan"}', "expected a number from 0 to 1000"),
        (b'{"command":"STEP=0"}', "expected a whole number from 1"),
        (b'{"command":"STEP=1.5"}', "expected a whole number from 1 to 1000000"),
        (b'{"command":"SEEK=yesterday"}', "'yesterday'"),
        (b'{"command":"SEEK=2026-01-01"}', "the feed simulator does not accept SEEK: only a replay accepts SEEK"),
        (b'{"command":5}', "START, PAUSE"),
        (b"[]", "START, PAUSE"),
        (b"\xff", "START, PAUSE"),
    ],
)
async def test_an_invalid_command_changes_nothing(body: bytes, message: str) -> None:
    async with run_feed_server() as feed:
        before = await feed.state()
        response = await feed.client.post("/v1/simulator", content=body)
        assert response.status_code == 400
        answer = response.json()
        assert message in answer["detail"] + answer.get("hint", "")
        after = await feed.state()
        assert (after["state"] in ("running", "waiting"), after["speed"]) == (True, before["speed"])


async def test_a_market_that_starts_in_the_past_is_not_stale() -> None:
    """Staleness depends on the arrival of ticks, not on market time."""
    async with run_feed_server(start="2026-01-05T14:30:00Z", speed=60) as feed:
        await feed.wait_for_state("running")
        assert 0 <= (await feed.quote("AAPL"))["ts"] - 1_767_623_400_000_000 < 3_600_000_000
        assert (await feed.client.get("/readyz")).status_code == 200


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"feed": "simulator", "start": "tomorrow"}, "'tomorrow'"),
        ({"feed": "simulator", "start": "9999-01-01"}, "9999-01-01"),
        ({"feed": "http", "start": "2026-01-05"}, "--start '2026-01-05'"),
        ({"feed": "http", "scenario": "crash.toml"}, "--scenario 'crash.toml'"),
        ({"feed": "http", "model": "mine.json"}, "--model 'mine.json'"),
    ],
)
async def test_settings_of_the_simulator_are_checked_before_the_start(settings: dict[str, Any], message: str) -> None:
    """Other feeds reject these settings."""
    with pytest.raises(InputError, match=message):
        async with run_server(**settings):
            pass


async def test_a_paused_feed_is_ready_and_a_silent_one_is_not() -> None:
    clock = ManualClock()
    async with run_feed_server(clock=clock, stale_after=5) as feed:
        await feed.wait_for_state("running", clock=clock)
        await feed.send_command("PAUSE")
        await clock.advance(60)
        assert (await feed.client.get("/readyz")).status_code == 200
        await feed.send_command("RESUME")
        assert (await feed.state())["state"] == "running"
    clock = ManualClock()
    async with run_feed_server(clock=clock, stale_after=5, scenario=str(SCENARIOS / "stuck.toml")) as feed:
        await feed.wait_for_state("running", clock=clock)
        for _ in range(20):
            await clock.advance(1)
        assert (await feed.client.get("/readyz")).status_code == 503
        for _ in range(25):
            await clock.advance(1)
        assert (await feed.client.get("/readyz")).status_code == 200


async def test_a_pause_closes_no_candles() -> None:
    """Market time stands still during a pause, so the trades after the pause are not too late for their candles."""
    clock = ManualClock()
    async with run_feed_server(clock=clock, journal="memory") as feed:
        runtime = feed.server.runtime
        await feed.wait_for_state("running", clock=clock)
        await feed.send_command("PAUSE")
        head = runtime.journal.head
        await clock.advance(30)
        assert runtime.journal.head == head
        await feed.send_command("RESUME")
        await feed.wait_for_state("running", clock=clock)
        for _ in range(50):
            await clock.advance(0.2)
        assert runtime.journal.head > head
        assert not any(runtime.candle_recorder.stats().late_trades.values())


async def test_a_published_feed_has_no_playback_and_no_model() -> None:
    async with run_feed_server(feed="http") as feed:
        state = await feed.state()
        assert (state["state"], state["commands"]) == ("waiting", [])
        response = await feed.client.post("/v1/simulator", json={"command": "PAUSE"})
        assert response.status_code == 400
        assert "the feed http accepts no commands" in response.json()["detail"]
        assert (await feed.client.get("/v1/simulator/model")).status_code == 404
        response = await feed.client.put("/v1/simulator/model", content=encode_json(built_in_model()))
        assert response.status_code == 400


async def test_a_replay_pauses_steps_and_seeks(tmp_path: Path) -> None:
    """A seek backwards plays the recording again, with the recorded times."""
    clock = ManualClock()
    async with run_feed_server(feed=f"replay:{write_recording(tmp_path, 100)}", clock=clock) as feed:
        await feed.wait_for_price("A", 0, clock=clock)
        await feed.send_command("PAUSE")
        await feed.send_command("STEP=3")
        await feed.wait_for_price("A", 3, clock=clock)
        assert (await feed.send_command("SEEK=2026-01-02T15:00:50Z"))["time"] == (START_S + 50) * 10**6
        await feed.wait_for_price("A", 50, clock=clock)
        answer = await feed.send_command("SEEK=2026-01-02T15:00:10Z")
        assert (answer["state"], answer["time"]) == ("paused", (START_S + 10) * 10**6)
        await feed.wait_for_price("A", 10, clock=clock)
        assert (await feed.state())["time"] == (START_S + 10) * 10**6
        await feed.send_command("SPEED=0")
        await feed.send_command("RESUME")
        await feed.wait_for_price("A", 99, clock=clock)
        await feed.wait_for_state("halted", clock=clock)
        response = await feed.client.post("/v1/simulator", json={"command": "PAUSE"})
        assert "PAUSE has no effect: the feed replay has ended" in response.json()["detail"]
        assert "use START to play the feed from its beginning" in response.json()["hint"]


async def test_a_seek_after_the_last_row_is_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The replay plays the last rows and ends. Until it continues, /readyz and a status event report the reason."""
    clock = ManualClock()
    async with (
        run_feed_server(feed=f"replay:{write_recording(tmp_path, 9)}", clock=clock) as feed,
        open_stream(feed.server.url, {"events": "status"}) as stream,
    ):
        await feed.wait_for_price("A", 0, clock=clock)
        await feed.send_command("SEEK=2026-01-02T16:00:00Z")
        await feed.wait_for_price("A", 8, clock=clock)
        await feed.wait_for_state("halted", clock=clock)
        reason = "the recording ends at 2026-01-02T15:00:08Z, before the time of the seek command"
        assert (await feed.client.get("/readyz")).json()["connection_reason"] == reason
        assert reason in caplog.text
        await wait_for_status(stream, state="halted", notice=reason)
        await feed.send_command("SEEK=2026-01-02T15:00:03Z")
        await wait_for_status(stream, state="paused", notice=None)
        assert (await feed.client.get("/readyz")).json()["connection_reason"] is None


async def test_an_ended_replay_starts_and_seeks_again(tmp_path: Path) -> None:
    """Each run of the replay resets the symbol and has the recorded times, also after a restart.

    Ids increase, and no event is lost.
    """
    recording = write_recording(tmp_path, 5)
    options = {"feed": f"replay:{recording}", "speed": 0, "journal": f"sqlite:{tmp_path / 'named'}"}

    async def play_to_the_end(feed: FeedServer, command: str) -> None:
        await feed.send_command(command)
        await feed.wait_for_state("halted")

    async with run_feed_server(**options) as feed:
        await feed.wait_for_state("halted")
        assert (await feed.send_command("SEEK=2026-01-02T15:00:02Z"))["state"] == "paused"
        await feed.wait_for_price("A", 2)
        await play_to_the_end(feed, "RESUME")
        await play_to_the_end(feed, "START")
        async with open_stream(feed.server.url, {"delivery": "all", "since": "earliest"}) as stream:
            events = await stream.next_events(17)
        assert [event.data["last"] for event in events] == [0, 1, 2, 3, 4, *[None, 0, 1, 2, 3, 4] * 2]
        seconds = [event.data["ts"] // 10**6 - START_S for event in events]
        assert seconds == [0, 1, 2, 3, 4, *[0, 0, 1, 2, 3, 4] * 2]
    async with run_feed_server(**options) as feed:
        await feed.wait_for_state("halted")
        await play_to_the_end(feed, "START")
        async with open_stream(feed.server.url, {"delivery": "all", "since": "earliest"}) as stream:
            events = await stream.next_events(23)
        assert [event.data["last"] for event in events[17:]] == [None, 0, 1, 2, 3, 4]


async def test_the_state_lists_the_commands_that_are_available(tmp_path: Path) -> None:
    async with run_feed_server() as feed:
        assert (await feed.state())["commands"] == COMMANDS
    async with run_feed_server(feed=f"replay:{write_recording(tmp_path, 2)}", speed=1) as feed:
        assert (await feed.state())["commands"] == [*COMMANDS, "SEEK"]
        await feed.send_command("SPEED=0")
        await feed.wait_for_state("halted")
        assert (await feed.state())["commands"] == ["START", "STEP", "SPEED", "SEEK"]
