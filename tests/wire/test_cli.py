"""The command line as a user has it: processes, files, exit codes, one line for each mistake."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path

import msgspec
import pytest

from tickwire.testing.server import ServerProcess, run_server
from tickwire.testing.wire import open_stream


async def tickwire(*arguments: object, cwd: Path) -> tuple[int, str, str]:
    """Run the command; its exit code, output and errors."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tickwire", *map(str, arguments), cwd=cwd,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env={**os.environ, "COLUMNS": "200"},
    )  # fmt: skip
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


CSV = "time,symbol,price\n2026-01-02T15:00:00Z,AAPL,187.25\n2026-01-02T15:00:01Z,MSFT,480.1\n"
MISTAKES = [
    (("serve", "--feed", "nonsense"), 2, "unknown feed 'nonsense': choose simulator, replay:PATH or http"),
    (("serve", "--feed", "replay:none.csv"), 2, "there is no file none.csv"),
    (
        ("serve", "--feed", "replay:bad.csv"),
        2,
        "bad.csv line 2, column price: expected a number up to 1e+12, found 'x'",
    ),
    (("serve", "--journal", "redis"), 2, "unknown journal 'redis': choose memory, sqlite:PATH or nats://HOST"),
    (("serve", "--journal", "sqlite:bad.csv"), 1, "bad.csv is not a Tickwire journal"),
    (("serve", "--journal", "sqlite:bad.csv/j"), 1, "cannot be created"),
    (("serve", "--port", "99999"), 2, "--port = '99999': input should be less than or equal to 65535"),
    (("serve", "--speed", "fast"), 2, "--speed = 'fast'"),
    (("serve", "--config", "none.toml"), 2, "there is no configuration file none.toml"),
    (("serve", "--config", "wrong.toml"), 2, "wrong.toml: unknown key prot (did you mean port?)"),
    (("publish", "bad.csv"), 2, "bad.csv line 2, column price"),
    (("publish", "none.csv"), 2, "there is no file none.csv"),
]


@pytest.mark.parametrize(("arguments", "code", "says"), MISTAKES)
async def test_a_mistake_is_one_line_and_an_exit_code(
    tmp_path: Path, arguments: tuple[str, ...], code: int, says: str
) -> None:
    """No traceback, nothing on standard output, and the folder as it was."""
    (tmp_path / "bad.csv").write_text("time,price\n2026-01-02,x\n")
    (tmp_path / "wrong.toml").write_text("prot = 1\n")
    exit_code, out, err = await tickwire(*arguments, cwd=tmp_path)
    assert says in err
    assert err.count("\n") == 1, err
    assert (exit_code, out) == (code, "")
    assert (tmp_path / "bad.csv").read_text().endswith("x\n")


async def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    """The port, and what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, _, err = await tickwire("serve", "--port", port, cwd=tmp_path)
    assert (code, err.count("\n")) == (2, 1)
    assert f"port {port} on 127.0.0.1 is in use by another program: choose one with --port" in err


async def test_publish_sends_a_file_once_and_watch_shows_it(tmp_path: Path) -> None:
    """Interrupted and repeated, or just repeated, a file's ticks arrive once."""
    (tmp_path / "ticks.csv").write_text(CSV)
    async with run_server() as server:
        for said in ("2 ticks published to", "0 ticks published to", "2 ticks published to"):
            again = ["--again"] if server.runtime.hub.head.sequence > 2 and said.startswith("2") else []
            code, out, _ = await tickwire("publish", "ticks.csv", "--url", server.url, *again, cwd=tmp_path)
            assert code == 0
            assert out.startswith(said)
        code, out, _ = await tickwire("watch", "AAPL", "MSFT", "--url", server.url, "--count", 2, cwd=tmp_path)
        quotes = [msgspec.json.decode(line) for line in out.splitlines()]
        assert {(quote["symbol"], quote["last"]) for quote in quotes} == {("AAPL", 187.25), ("MSFT", 480.1)}
        assert quotes[0]["ts"] == 1_767_366_000_000_000


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_ctrl_c_ends_at_once_with_streams_open(tmp_path: Path, number: signal.Signals) -> None:
    """Readers get `bye`, the exit code is 0, and the simulated market goes on where it was after a restart."""
    serving = ServerProcess("--data", str(tmp_path / "data"), cwd=tmp_path)
    async with serving as server, open_stream(server.url, {"symbols": "AAPL"}) as stream:
        (quote,) = await stream.events(1)
        stopping = asyncio.create_task(server.stop(number))
        (bye,) = await stream.events(1, name="bye")
        assert bye.data["reason"] == "drain"
        assert await stopping == 0
    async with ServerProcess("--data", str(tmp_path / "data"), cwd=tmp_path) as server:
        async with open_stream(server.url, {"symbols": "AAPL"}, headers={"Last-Event-ID": quote.id}) as stream:
            (welcome,) = await stream.events(1, name="welcome")
            (after,) = await stream.events(1)
        assert welcome.data["resume"]["complete"]
        assert after.data["last"] == pytest.approx(quote.data["last"], rel=0.01)


async def test_settings_come_from_flags_environment_and_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A flag wins over the environment, which wins over the file."""
    (tmp_path / "tickwire.toml").write_text('feed = "http"\nheartbeat = 7\nstale_after = 3\n')
    monkeypatch.setenv("TICKWIRE_HEARTBEAT", "8")
    monkeypatch.setenv("TICKWIRE_JOURNAL", "memory")
    async with ServerProcess("--config", "tickwire.toml", cwd=tmp_path) as server:
        async with open_stream(server.url) as stream:
            (welcome,) = await stream.events(1, name="welcome")
        assert (welcome.data["mode"], welcome.data["heartbeat"]) == ("live", 8)
    assert not (tmp_path / ".tickwire").exists()
