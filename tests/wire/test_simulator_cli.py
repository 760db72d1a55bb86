"""The commands `tickwire simulator` and `tickwire calibrate`."""

from __future__ import annotations

from pathlib import Path

import msgspec

from tickwire.core.codec import encode_json
from tickwire.simulation.universe import built_in_model
from tickwire.testing.command_line import invoke_command_in_thread
from tickwire.testing.feed_server import run_feed_server
from tickwire.testing.server import ServerProcess
from tickwire.testing.wire import open_stream

SCENARIOS = Path(__file__).parents[2] / "examples" / "scenarios"


async def test_simulator_commands_print_the_state_after_them(tmp_path: Path) -> None:
    model = msgspec.structs.replace(built_in_model(), version="mine")
    (tmp_path / "model.json").write_bytes(encode_json(model))
    async with ServerProcess("--journal", "memory", cwd=tmp_path) as server:
        calls = [
            (("pause",), "simulator paused · speed 1 · market time 2"),
            (("speed", "0.5"), "simulator paused · speed 0.5"),
            (("model", tmp_path / "model.json"), "· model mine"),
            (("scenario", SCENARIOS / "crash.toml"), "· scenario "),
            (("scenario",), "· model mine"),
        ]
        # Market time exists from the first ticks on.
        async with open_stream(server.url) as stream:
            await stream.next_events(1)
        for arguments, message in calls:
            code, out, _ = await invoke_command_in_thread("simulator", *arguments, "--url", server.url)
            assert code == 0
            assert message in out


async def test_simulator_command_errors_are_one_line() -> None:
    async with run_feed_server(journal="memory") as feed:
        code, _, err = await invoke_command_in_thread("simulator", "speed", "fast", "--url", feed.server.url)
        assert (code, "'SPEED=fast': expected a number from 0 to 1000" in err) == (2, True)
    code, _, err = await invoke_command_in_thread("simulator", "pause", "--url", feed.server.url)
    assert (code, err.count("\n")) == (1, 1)


async def test_calibrate_writes_a_model_and_a_chart(tmp_path: Path) -> None:
    """A server can use the calibrated model. The command reports an error in one line."""
    rows = ["date,open,close,volume"]
    rows += [
        f"2026-{1 + day // 28:02d}-{1 + day % 28:02d},{100 + day % 7},{100 + day * 3 % 11},10" for day in range(90)
    ]
    (tmp_path / "ABC.csv").write_text("\n".join(rows) + "\n")
    model, chart = tmp_path / "model.json", tmp_path / "report.svg"
    code, out, _ = await invoke_command_in_thread("calibrate", tmp_path / "ABC.csv", "-o", model, "--report", chart)
    assert code == 0
    assert "ABC" in out
    assert chart.read_text().startswith("<svg")
    async with run_feed_server(model=str(model)) as feed:
        assert (await feed.state())["model"]["version"] == "calibrated 2026-04-06"
        async with open_stream(feed.server.url) as stream:
            (quote,) = await stream.next_events(1)
        assert quote.data["symbol"] == "ABC"
    code, _, err = await invoke_command_in_thread("calibrate", tmp_path / "none.csv", "-o", model)
    assert (code, err.count("\n")) == (2, 1)
    assert "there is no file" in err
