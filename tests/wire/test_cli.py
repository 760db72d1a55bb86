"""The command line as users see it: files, exit codes, signals, and one line for each error."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path

import msgspec
import pytest

from tickwire.feeds.registry import FEED_SYNTAX
from tickwire.testing.command_line import invoke_command, invoke_command_in_thread, run_command_process
from tickwire.testing.server import ServerProcess, run_server
from tickwire.testing.wire import open_stream

TICKS_CSV = "time,symbol,price\n2026-01-02T15:00:00Z,AAPL,187.25\n2026-01-02T15:00:01Z,MSFT,480.1\n"
ERRORS = [
    (("serve", "--feed", "nonsense"), 2, f"unknown feed 'nonsense': choose {FEED_SYNTAX}"),
    (("serve", "--feed", "replay:none.csv"), 2, "there is no file none.csv"),
    (
        ("serve", "--feed", "replay:bad.csv"),
        2,
        "bad.csv line 2, column price: expected a number up to 1e+12, found 'x'",
    ),
    (("serve", "--loop"), 2, "--loop True applies only to --feed replay: remove --loop, or replace --feed simulator"),
    (("serve", "--journal", "memory", "--codec", "json"), 2, "--codec 'json' applies only to --journal nats or"),
    (
        ("serve", "--journal", "redis"),
        2,
        "unknown journal 'redis': choose memory, sqlite:PATH, nats:embedded or nats://HOST",
    ),
    (("serve", "--journal", "sqlite:bad.csv"), 1, "bad.csv is not a Tickwire journal"),
    (("serve", "--journal", "sqlite:bad.csv/j"), 1, "cannot be created"),
    (("serve", "--port", "99999"), 2, "--port = '99999': input should be less than or equal to 65535"),
    (("serve", "--speed", "fast"), 2, "--speed = 'fast'"),
    (("serve", "--config", "none.toml"), 2, "no such configuration file 'none.toml'"),
    (("serve", "--config", "wrong.toml"), 2, "wrong.toml: unknown key 'prot' (did you mean port?)"),
    (("serve", "--host", "0.0.0.0", "--journal", "memory"), 2, "--insecure"),
    (("publish", "bad.csv"), 2, "bad.csv line 2, column price"),
    (("publish", "none.csv"), 2, "there is no file none.csv"),
]


SUGGESTIONS = [
    (("sevre",), "no such command 'sevre': did you mean serve?"),
    (("checkfilter",), "no such command 'checkfilter': did you mean check-filter?"),
    (("xyz",), "no such command 'xyz': known: serve, watch, publish,"),
    (("simulator", "puase"), "'pause'"),
    (("token", "mnit"), "'mint'"),
    (("serve", "--prot", "1"), "--port"),
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory of the command, with a bad recording and a bad configuration."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.csv").write_text("time,price\n2026-01-02,x\n")
    (tmp_path / "wrong.toml").write_text("prot = 1\n")
    return tmp_path


@pytest.mark.parametrize(("arguments", "exit_code", "message"), ERRORS)
def test_error_is_one_line_and_an_exit_code(
    folder: Path, arguments: tuple[str, ...], exit_code: int, message: str
) -> None:
    result = invoke_command(*arguments)
    assert message in result.errors
    assert result.errors.count("\n") == 1, result.errors
    assert (result.exit_code, result.output) == (exit_code, "")
    assert (folder / "bad.csv").read_text().endswith("x\n")


@pytest.mark.parametrize(("arguments", "message"), SUGGESTIONS)
def test_a_misspelled_name_has_a_suggestion(arguments: tuple[str, ...], message: str) -> None:
    result = invoke_command(*arguments)
    assert result.exit_code == 2
    assert message in result.errors


def test_unknown_variables_are_reported_by_every_command() -> None:
    environment = {"TICKWIRE_PROT": "1"}
    for arguments in (("check-filter", "last > 1"), ("serve", "--feed", "nonsense")):
        errors = invoke_command(*arguments, env=environment).errors.splitlines()
        expected = "tickwire: ignoring the unknown environment variable TICKWIRE_PROT: did you mean TICKWIRE_PORT?"
        assert errors[0] == expected


async def test_process_prints_an_error_without_traceback(tmp_path: Path) -> None:
    result = await run_command_process("serve", "--feed", "nonsense", cwd=tmp_path)
    assert (result.exit_code, result.output, result.errors.count("\n")) == (2, "", 1)
    assert result.errors.startswith("tickwire: unknown feed 'nonsense'")


def test_port_in_use_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        result = invoke_command("serve", "--port", port)
    assert (result.exit_code, result.errors.count("\n")) == (2, 1)
    assert f"port {port} on 127.0.0.1 is in use by another program: choose a free port with --port" in result.errors


async def test_publish_sends_a_file_once_and_watch_shows_it(tmp_path: Path) -> None:
    """If the same file is published again, nothing is sent. Therefore a user can repeat an interrupted `publish`."""
    file = tmp_path / "ticks.csv"
    file.write_text(TICKS_CSV)
    async with run_server() as server:
        for options, count in (((), 2), ((), 0), (("--again",), 2)):
            result = await invoke_command_in_thread("publish", file, "--url", server.url, *options)
            assert result.exit_code == 0
            assert result.output.startswith(f"{count} ticks published to")
        result = await invoke_command_in_thread("watch", "AAPL", "MSFT", "--url", server.url, "--count", 2)
        quotes = [msgspec.json.decode(line) for line in result.output.splitlines()]
        assert {(quote["symbol"], quote["last"]) for quote in quotes} == {("AAPL", 187.25), ("MSFT", 480.1)}
        assert quotes[0]["ts"] == 1_767_366_000_000_000


async def test_serve_prints_a_banner_and_ends_without_a_waiting_parent(tmp_path: Path) -> None:
    """The banner shows the page's URL, the journal, the access rule, and a command that prints the first quotes."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tickwire", "serve", "--port", "0", "--journal", "memory"),
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={**os.environ, "TICKWIRE_READY_FD": "987"},
    )
    assert process.stdout is not None
    lines = [(await process.stdout.readline()).decode() for _ in range(4)]
    process.terminate()
    assert await process.wait() == 0
    url = lines[0].partition(" · page ")[2].partition("/ ·")[0]
    assert lines[0].startswith("Tickwire: simulated market from simulator")
    assert lines[1].startswith("  journal memory, no events yet of")
    assert lines[2] == "  open: everyone who can connect to this port can read, publish and control; see --auth\n"
    assert lines[3].startswith(f"  curl -N '{url}/v1/stream?symbols=AAPL,MSFT'")


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM])
async def test_signal_drains_open_streams_and_a_restart_resumes(tmp_path: Path, signal_number: signal.Signals) -> None:
    """Readers receive `bye`, the exit code is 0, and after a restart the simulated market continues."""
    options = ("--data", str(tmp_path / "data"))
    async with (
        ServerProcess(*options, cwd=tmp_path) as server,
        open_stream(server.url, {"symbols": "AAPL"}) as stream,
    ):
        (quote,) = await stream.next_events(1)
        stopping = asyncio.create_task(server.stop(signal_number))
        (bye,) = await stream.next_events(1, name="bye")
        assert bye.data["reason"] == "drain"
        assert await stopping == 0
    async with ServerProcess(*options, cwd=tmp_path) as server:
        async with open_stream(server.url, {"symbols": "AAPL"}, headers={"Last-Event-ID": quote.id}) as stream:
            (welcome,) = await stream.next_events(1, name="welcome")
            (after,) = await stream.next_events(1)
        assert welcome.data["resume"]["complete"]
        assert after.data["last"] == pytest.approx(quote.data["last"], rel=0.01)


async def test_settings_come_from_options_environment_and_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An option overrides the environment, and the environment overrides the file."""
    (tmp_path / "tickwire.toml").write_text('feed = "http"\nheartbeat = 7\nstale_after = 3\n')
    monkeypatch.setenv("TICKWIRE_HEARTBEAT", "8")
    monkeypatch.setenv("TICKWIRE_JOURNAL", "memory")
    async with ServerProcess("--config", "tickwire.toml", cwd=tmp_path) as server:
        async with open_stream(server.url) as stream:
            (welcome,) = await stream.next_events(1, name="welcome")
        assert (welcome.data["mode"], welcome.data["heartbeat"]) == ("live", 8)
    assert not (tmp_path / ".tickwire").exists()
