"""A listening socket that outlives the server: connections wait during a restart and are not refused."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest

from tickwire.cli.socket_activation import settings_for_listener, systemd_listener
from tickwire.errors import SettingsError
from tickwire.settings import Settings
from tickwire.testing.server import ServerProcess
from tickwire.testing.wire import open_stream


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=lambda number: number.name)
async def test_connections_wait_during_a_restart(number: signal.Signals, tmp_path: Path) -> None:
    """A client that reconnects while no server runs misses nothing.

    The server uses the address of the inherited socket.
    """
    options = ("--feed", "http", "--data", str(tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        server = ServerProcess(*options, cwd=tmp_path, listener=listener)
        async with server:
            assert server.url == url
            async with httpx2.AsyncClient(base_url=url) as client, open_stream(url) as stream:
                await client.post("/v1/quotes", json=[{"symbol": "A", "last": 1}])
                (seen,) = await stream.next_events(1)
                await client.post("/v1/quotes", json=[{"symbol": "A", "last": 2}])
            await server.stop(number)
            waiting = asyncio.create_task(read_after(url, seen.id))
            async with ServerProcess(*options, cwd=tmp_path, listener=listener):
                assert (await waiting) == 2


async def test_a_restart_in_place_refuses_no_connection(tmp_path: Path) -> None:
    """SIGUSR2 starts the program again in the same process. A client that reconnects during it misses nothing."""
    options = ("--feed", "http", "--data", str(tmp_path))
    log = tmp_path / "server.log"
    async with ServerProcess(*options, cwd=tmp_path, log=log) as server:
        async with httpx2.AsyncClient(base_url=server.url) as client, open_stream(server.url) as stream:
            await client.post("/v1/quotes", json=[{"symbol": "A", "last": 1}])
            (seen,) = await stream.next_events(1)
            await client.post("/v1/quotes", json=[{"symbol": "A", "last": 2}])
            os.kill(server.pid, signal.SIGUSR2)
            await stream.next_events(1, name="bye")
        # The old program sent `bye` and accepts no more connections, so the new program answers.
        answered = asyncio.create_task(read_after(server.url, seen.id))
        host, port = server.url.removeprefix("http://").split(":")
        while not answered.done():
            _, writer = await asyncio.open_connection(host, int(port))
            writer.close()
        assert await answered == 2
        assert "the server has stopped" in log.read_text()
        assert await server.stop() == 0


async def read_after(url: str, event_id: str | None) -> float:
    """Return the first price after an event id."""
    async with open_stream(url, {"delivery": "all"}, headers={"Last-Event-ID": event_id or ""}) as stream:
        (quote,) = await stream.next_events(1)
        return quote.data["last"]


async def test_a_socket_on_all_addresses_requires_tokens(tmp_path: Path) -> None:
    """The rule for --host also applies to an inherited socket."""
    with socket.create_server(("0.0.0.0", 0)) as listener, pytest.raises(RuntimeError, match="--insecure"):
        await ServerProcess("--journal", "memory", cwd=tmp_path, listener=listener).start()


def test_workers_cannot_share_the_socket() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        pytest.raises(SettingsError, match="cannot share the socket from systemd"),
    ):
        settings_for_listener(Settings(workers=2, journal="nats://127.0.0.1"), listener)


def udp_socket() -> socket.socket:
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind(("127.0.0.1", 0))
    return udp


@pytest.mark.parametrize(
    "open_socket", [udp_socket, socket.socket, lambda: socket.socket(socket.AF_UNIX)], ids=["UDP", "closed", "Unix"]
)
def test_other_sockets_are_rejected(open_socket: Callable[[], socket.socket], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tickwire.cli.socket_activation.FIRST_DESCRIPTOR", open_socket().detach())
    monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
    monkeypatch.setenv("LISTEN_FDS", "1")
    with pytest.raises(SettingsError, match="not a listening TCP socket"):
        systemd_listener()


@pytest.mark.parametrize(("pid", "count"), [("1", "1"), ("", "1"), ("own", "0"), ("own", "x")])
def test_sockets_for_another_process_are_ignored(pid: str, count: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server always removes the environment variables, so that its child processes do not see them."""
    monkeypatch.setenv("LISTEN_PID", pid.replace("own", str(os.getpid())))
    monkeypatch.setenv("LISTEN_FDS", count)
    assert systemd_listener() is None
    assert "LISTEN_FDS" not in os.environ


def test_several_sockets_are_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
    monkeypatch.setenv("LISTEN_FDS", "2")
    with pytest.raises(SettingsError, match="systemd passed 2 sockets"):
        systemd_listener()
