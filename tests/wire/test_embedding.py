"""Tickwire mounted in another application, and under a plain ASGI server."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount

import tickwire
from tickwire.server.transport.stop_signals import StopSignals
from tickwire.settings import Settings
from tickwire.testing.ports import find_free_port
from tickwire.testing.tokens import TEST_SECRET
from tickwire.testing.wire import WireStream, open_stream


@contextlib.asynccontextmanager
async def serve_app(app, **options):
    """Serve `app` with plain uvicorn on a free port. Yield the URL."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, log_config=None, ws="none", timeout_graceful_shutdown=1, **options)
    server = uvicorn.Server(config)
    server.capture_signals = contextlib.nullcontext
    task = asyncio.create_task(server.serve([listener]))
    try:
        while not server.started:
            await asyncio.sleep(0)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await task
        listener.close()


async def check_mounted_app(url: str, mount: str = "") -> None:
    """Publish a tick, read a stream, and request an error and the page, all below the mount path."""
    async with tickwire.Publisher(url + mount) as publisher:
        await publisher.publish([{"symbol": "A", "last": 1.5}])
    async with open_stream(url, {"symbols": "A"}, path=f"{mount}/v1/stream") as stream:
        (event,) = await stream.next_events(1)
        assert event.data["last"] == 1.5
    async with open_stream(url, {"nonsense": "1"}, path=f"{mount}/v1/stream") as refused:
        assert refused.status == 400
    async with open_stream(url, path=f"{mount}/") as page:
        assert page.status == 200


async def test_app_that_is_not_running_answers_503_with_retry_after() -> None:
    app = Starlette(routes=[Mount("/market", tickwire.create_app(feed="http"))])
    async with serve_app(app) as url, open_stream(url, path="/market/v1/stream") as answer:
        assert (answer.status, answer.headers["retry-after"]) == (503, "5")


def test_create_app_rejects_settings_together_with_single_settings() -> None:
    """If both were accepted, the application would silently ignore one of them."""
    with pytest.raises(TypeError, match="move port into `settings`"):
        tickwire.create_app(Settings(feed="http"), port=9000)


async def test_mounted_app_serves_everything_below_its_mount() -> None:
    market = tickwire.create_app(feed="http", journal="memory")

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette):
        async with market.running():
            yield

    app = Starlette(routes=[Mount("/market", market)], lifespan=lifespan)
    async with serve_app(app) as url:
        await check_mounted_app(url, "/market")


async def test_app_runs_under_a_plain_asgi_server() -> None:
    async with serve_app(tickwire.create_app(feed="http", journal="memory")) as url:
        await check_mounted_app(url)


MODULES = {
    "served alone": """
import tickwire
app = tickwire.create_app(feed="http", journal="memory", heartbeat=1)
""",
    "mounted": """
import contextlib, tickwire
from starlette.applications import Starlette
from starlette.routing import Mount
market = tickwire.create_app(feed="http", journal="memory", heartbeat=1)

@contextlib.asynccontextmanager
async def lifespan(_):
    async with market.running():
        yield

app = Starlette(routes=[Mount("/", market)], lifespan=lifespan)
""",
    "run around the server": """
import asyncio, sys, tickwire, uvicorn
app = tickwire.create_app(feed="http", journal="memory", heartbeat=1)

async def main():
    async with app.running():
        await uvicorn.Server(uvicorn.Config(app, port=int(sys.argv[-1]), lifespan="off")).serve()

if __name__ == "__main__":
    asyncio.run(main())
""",
}


@contextlib.asynccontextmanager
async def run_program(folder: Path, *command: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a Python program in the folder. End it with its children at the end of the block."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", *command), cwd=folder, stderr=asyncio.subprocess.PIPE, start_new_session=True
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.communicate()


async def read_welcome(url: str, stack: contextlib.AsyncExitStack) -> WireStream:
    """Connect again and again, as an EventSource does, until a stream begins with a `welcome` event. Return the stream.

    Before the server listens, it refuses connections. A server that stops answers 503, or closes the connection.
    """
    while True:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            async with contextlib.AsyncExitStack() as attempt:
                stream = await attempt.enter_async_context(open_stream(url))
                if stream.status == 200 and await stream.next_events(1, name="welcome"):
                    stack.push_async_exit(attempt.pop_all())
                    return stream
        await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    ("arrangement", "number"),
    [("served alone", signal.SIGINT), ("mounted", signal.SIGTERM), ("run around the server", signal.SIGINT)],
    ids=MODULES,
)
async def test_a_signal_ends_the_streams_and_the_server(
    arrangement: str, number: signal.Signals, tmp_path: Path
) -> None:
    """uvicorn itself waits for all streams without a time limit."""
    (tmp_path / "page.py").write_text(MODULES[arrangement])
    port = str(find_free_port())
    command = ("page", port) if arrangement == "run around the server" else ("uvicorn", "page:app", "--port", port)
    async with run_program(tmp_path, *command) as program, contextlib.AsyncExitStack() as stack:
        stream = await read_welcome(f"http://127.0.0.1:{port}", stack)
        program.send_signal(number)
        assert len(await stream.next_events(1, name="bye")) == 1
        assert await stream.next_event() is None
        await program.wait()
        assert program.stderr is not None
        log = (await program.stderr.read()).decode()
    assert "Finished server process" in log
    assert "ERROR" not in log


async def test_a_reload_ends_the_streams(tmp_path: Path) -> None:
    """`uvicorn --reload` starts the changed program while streams are open."""
    module = tmp_path / "page.py"
    module.write_text(MODULES["served alone"])
    port = str(find_free_port())
    async with (
        run_program(tmp_path, "uvicorn", "page:app", "--port", port, "--reload"),
        contextlib.AsyncExitStack() as stack,
    ):
        stream = await read_welcome(f"http://127.0.0.1:{port}", stack)
        byes = []
        while not byes:
            # uvicorn does not notice a change before its first check of the file, so repeat the change.
            module.write_text(MODULES["mounted"])
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(2.0):
                    byes = await stream.next_events(1, name="bye")
        assert await stream.next_event() is None
        # uvicorn may notice both changes, and restart the program twice.
        await read_welcome(f"http://127.0.0.1:{port}", stack)


async def test_handlers_of_the_server_are_restored() -> None:
    """`uninstall` restores the previous signal handlers, unless the server has replaced a handler in the meantime."""
    calls = list[int]()

    def handler(number: int, _: object) -> None:
        calls.append(number)

    before = [signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)]
    try:
        stopped = asyncio.Event()
        signals = StopSignals(stopped.set)
        signals.install()
        signal.raise_signal(signal.SIGTERM)
        await stopped.wait()
        assert calls == [signal.SIGTERM]
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signals.uninstall()
        assert signal.getsignal(signal.SIGTERM) is handler
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        for number, previous in zip((signal.SIGINT, signal.SIGTERM), before, strict=True):
            signal.signal(number, previous)


async def test_app_that_is_not_running_names_the_missing_call() -> None:
    app = Starlette(routes=[Mount("/market", tickwire.create_app(feed="http", journal="memory"))])
    async with serve_app(app) as url, open_stream(url, path="/market/v1/quotes") as answer:
        assert answer.status == 503
        assert "app.running()" in (await answer.read_json())["detail"]


def test_public_names_are_sorted_and_importable() -> None:
    assert list(tickwire.__all__) == sorted(tickwire.__all__)
    # RowError is the older name of BatchRowError.
    expected = {name: name for name in tickwire.__all__} | {"RowError": "BatchRowError"}
    assert {name: getattr(tickwire, name).__name__ for name in tickwire.__all__} == expected


@pytest.mark.parametrize(
    ("client", "options", "warns"),
    [
        ("192.0.2.7", {}, True),
        ("::ffff:192.0.2.7", {}, True),
        ("127.0.0.1", {}, False),
        ("::1", {}, False),
        # A Unix socket has no IP address.
        (None, {}, False),
        ("192.0.2.7", {"insecure": True}, False),
        ("192.0.2.7", {"auth": "secret", "auth_secret": TEST_SECRET}, False),
        # With a trusted proxy, the operator has already decided which clients can connect.
        ("10.0.0.1", {"trusted_proxies": "10.0.0.0/8"}, False),
    ],
)
async def test_an_open_app_warns_about_other_machines_once(client, options, warns, caplog) -> None:
    """The outer server decides where the application listens. Probes cause no warning."""
    app = tickwire.create_app(feed="http", journal="memory", **options)

    async def call(path: str) -> None:
        scope = {
            "type": "http", "method": "GET", "path": path, "raw_path": path.encode(), "query_string": b"",
            "headers": [(b"host", b"ticks.example")], "client": client and (client, 5), "server": ("192.0.2.1", 80),
            "http_version": "1.1", "scheme": "http", "root_path": "",
        }  # fmt: skip
        await app(scope, _empty_request, _ignore_message)

    async with app.running():
        await call("/healthz")
        assert "no authentication" not in caplog.text
        for _ in range(2):
            await call("/v1/quotes")
    assert caplog.text.count("no authentication") == warns


async def _empty_request() -> dict:
    return {"type": "http.request", "body": b"", "more_body": False}


async def _ignore_message(message: dict) -> None:
    pass
