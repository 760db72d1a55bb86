"""Each client library passes each scenario of a stream, through a network that delays and splits all bytes.

A library that gives up is opened again with the id of its last event (see foreign_client.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import shutil
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest

from tickwire.testing import ManualClock
from tickwire.testing.browser_process import BROWSERS, open_browser
from tickwire.testing.foreign_client import ClientEvent, ClientPage, ClientProgram, ForeignClient
from tickwire.testing.ports import find_free_port
from tickwire.testing.proxy import FaultProxy
from tickwire.testing.server import RunningServer, ServerProcess, run_server
from tickwire.testing.tokens import TEST_SECRET, sign_token
from tickwire.testing.waiting import wait_until
from tickwire.testing.wire import open_stream

FOLDER = Path(__file__).parent / "clients"
JS_CLIENT = FOLDER.parents[2] / "clients" / "js" / "dist" / "index.js"
OKHTTP = FOLDER / "okhttp"
NODE_READER = ("node", str(FOLDER / "js" / "read.mjs"))
PROGRAMS = {
    "AsyncClient": (sys.executable, str(FOLDER / "client_tickwire.py"), "AsyncClient"),
    "Client": (sys.executable, str(FOLDER / "client_tickwire.py"), "Client"),
    "@tickwire/client": ("node", str(FOLDER / "client_tickwire.mjs")),
    "curl": ("curl", "--silent", "--no-buffer", "--compressed", "--write-out", r"\nstatus: %{http_code}\n"),
    "httpx": (sys.executable, str(FOLDER / "client.py")),
    "requests": (sys.executable, str(FOLDER / "client_requests.py")),
    "aiohttp": (sys.executable, str(FOLDER / "client_aiohttp.py")),
    "Node.js fetch": ("node", str(FOLDER / "client.mjs")),
    "eventsource 2": (*NODE_READER, "eventsource-2"),
    "eventsource 3": (*NODE_READER, "eventsource-3"),
    "eventsource 4": (*NODE_READER, "eventsource-4"),
    "event-source-polyfill": (*NODE_READER, "event-source-polyfill"),
    "fetch-event-source": (*NODE_READER, "fetch-event-source"),
    "Go": ("go", "run", str(FOLDER / "client.go")),
    "Java": ("java", str(FOLDER / "Client.java")),
    "okhttp": ("java", "-cp", str(OKHTTP / "lib" / "*"), str(OKHTTP / "OkHttp.java")),
    "Rust": ("cargo", "run", "--locked", "--quiet", "--manifest-path", str(FOLDER / "rust" / "Cargo.toml"), "--"),
}
PYTHON_MODULES = {"aiohttp": "aiohttp", "requests": "requests"}
PATH_AND_QUERY = "/v1/stream?symbols=A&fields=last&delivery=all"
# A scenario takes a few seconds, and more than a minute if other programs occupy the machine. Without this limit, a
# client that lost an event waits for the limit of long tests. The Rust client is compiled when it first runs.
CELL_TIMEOUT_S, COMPILE_TIMEOUT_S = 300.0, 600.0
# The network of all scenarios.
LATENCY_S, JITTER_S, MAX_CHUNK_BYTES = 0.001, 0.003, 89


@contextlib.asynccontextmanager
async def open_client(client: str, url: str, page_port: int, folder: Path) -> AsyncIterator[tuple[Any, FaultProxy]]:
    """Read the stream with the path and the query of `url` with a client. Yield the client, and its fault proxy."""
    seed = random.randrange(2**32)
    print(f"seed of the proxy: {seed}")
    parts = urlsplit(url)
    async with contextlib.AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(FaultProxy(f"{parts.scheme}://{parts.netloc}", seed=seed))
        proxy.latency_s, proxy.jitter_s, proxy.max_chunk_bytes = LATENCY_S, JITTER_S, MAX_CHUNK_BYTES
        stream_url = f"{proxy.url}{parts.path}?{parts.query}"
        if client in BROWSERS:
            page = ClientPage()
            page.stream_url = stream_url
            await stack.enter_async_context(page.running(page_port))
            await stack.enter_async_context(open_browser(client, f"http://127.0.0.1:{page_port}/", folder))
            yield page, proxy
            return
        program = ClientProgram(PROGRAMS[client], stream_url)
        stack.push_async_callback(program.stop)
        yield program, proxy


def require(client: str) -> None:
    """Skip the test if a program or a library of the client is missing."""
    if client in BROWSERS:
        return
    command = PROGRAMS[client]
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    if client in PYTHON_MODULES and find_spec(PYTHON_MODULES[client]) is None:
        pytest.skip(f"{PYTHON_MODULES[client]} is not installed")
    if client == "@tickwire/client" and not JS_CLIENT.exists():
        pytest.skip("not built: python dashboard/build.py --folder clients/js")
    if client == "okhttp" and not (OKHTTP / "lib").is_dir():
        pytest.skip("the library of tests/wire/clients/okhttp is not installed: sh tests/system-programs python3 long")
    if command[:2] == NODE_READER and not (FOLDER / "js" / "node_modules").is_dir():
        pytest.skip("the libraries of tests/wire/clients/js are not installed: sh tests/system-programs")


async def publish(url: str, *prices: float) -> None:
    async with httpx2.AsyncClient(base_url=url) as http:
        for price in prices:
            assert (await http.post("/v1/quotes", json=[{"symbol": "A", "last": price}])).status_code == 201


async def read_until(client: ForeignClient, name: str) -> ClientEvent:
    """Return the next event with this name. Skip all other events."""
    while True:
        event = await client.next_event()
        print(f"received: {event}")
        if event.name == name:
            return event


async def read_prices(client: ForeignClient, count: int) -> list[float]:
    return [(await read_until(client, "message")).data["last"] for _ in range(count)]


class Scenario:
    """Opens servers and clients for one test."""

    def __init__(self, client: str, folder: Path) -> None:
        self.folder = folder
        self._client = client
        self._page_port = find_free_port()
        self.origin = f"http://127.0.0.1:{self._page_port}"

    def server(self, **settings: Any) -> AbstractAsyncContextManager[RunningServer]:
        return run_server(cors=self.origin, **settings)

    def client(self, url: str, extra: str = "") -> AbstractAsyncContextManager[Any]:
        return open_client(self._client, url + PATH_AND_QUERY + extra, self._page_port, self.folder)


async def connect(scenario: Scenario) -> None:
    async with scenario.server() as server, scenario.client(server.url) as (client, _proxy):
        await read_until(client, "welcome")
        await publish(server.url, 1, 2)
        assert await read_prices(client, 2) == [1, 2]


async def compression(scenario: Scenario) -> None:
    """With its default Accept-Encoding, the client returns each small event before the next one is published."""
    async with scenario.server() as server, scenario.client(server.url) as (client, _proxy):
        await read_until(client, "welcome")
        for price in (1, 2, 3):
            await publish(server.url, price)
            assert await read_prices(client, 1) == [price]
        async with httpx2.AsyncClient(base_url=server.url) as http:
            print(f"compression: {[each['compression'] for each in (await http.get('/v1/clients')).json()]}")


async def resume(scenario: Scenario) -> None:
    """The server is killed while the client has received a part of the events. No event is missing or repeated."""
    options = ("--feed", "http", "--data", str(scenario.folder), "--port", str(find_free_port()))
    async with (
        ServerProcess(*options, "--cors", scenario.origin, cwd=scenario.folder) as server,
        scenario.client(server.url) as (client, _proxy),
    ):
        await read_until(client, "welcome")
        await publish(server.url, 1, 2, 3)
        assert await read_prices(client, 3) == [1, 2, 3]
        await server.kill()
        await server.start()
        await publish(server.url, 4, 5)
        assert await read_prices(client, 2) == [4, 5]


async def reset(scenario: Scenario) -> None:
    """The connection breaks in the middle of an event. No event is missing or repeated."""
    async with scenario.server() as server, scenario.client(server.url) as (client, proxy):
        await read_until(client, "welcome")
        await publish(server.url, 1)
        assert await read_prices(client, 1) == [1]
        # A browser may have opened a second connection in advance.
        connection = max(proxy.connections, key=lambda each: each.forwarded_bytes)
        proxy.reset_after_bytes = connection.forwarded_bytes + 40
        await publish(server.url, 2, 3, 4)
        await wait_until(lambda: connection not in proxy.connections)
        proxy.reset_after_bytes = None
        assert await read_prices(client, 3) == [2, 3, 4]


async def gap(scenario: Scenario) -> None:
    async with scenario.server() as server, scenario.client(server.url, "&last_event_id=x-1") as (client, _proxy):
        assert (await read_until(client, "gap")).data["reason"] == "epoch"


async def bye(scenario: Scenario) -> None:
    async with scenario.server() as server, scenario.client(server.url) as (client, _proxy):
        await read_until(client, "welcome")
        server.app.drain()
        assert (await read_until(client, "bye")).data["reason"] == "drain"


async def expiry(scenario: Scenario) -> None:
    """The server announces that the token expires, and ends the stream."""
    clock = ManualClock()
    settings = {"auth": "secret", "auth_secret": TEST_SECRET, "auth_query": True, "auth_leeway": 0, "clock": clock}
    now = clock.now() / 1e9
    token = sign_token(iat=now, exp=now + 20)
    async with (
        scenario.server(**settings) as server,
        scenario.client(server.url, f"&access_token={token}") as (client, _proxy),
    ):
        await read_until(client, "welcome")
        await clock.advance(2)
        assert (await read_until(client, "expiring")).data["in_ms"] > 0
        await clock.advance(20)
        assert (await read_until(client, "bye")).data["reason"] == "expired"


async def full_server(scenario: Scenario, **limits: int) -> None:
    """The server rejects the client while another reader occupies its place."""
    async with scenario.server(**limits) as server, contextlib.AsyncExitStack() as place:
        other = await place.enter_async_context(open_stream(server.url))
        await other.next_events(1, name="welcome")
        async with scenario.client(server.url) as (client, _proxy), asyncio.TaskGroup() as group:
            # A program runs only while the test waits for its next event.
            welcome = group.create_task(read_until(client, "welcome"))
            await wait_until(lambda: has_refused(server.url), poll_interval_s=0.05)
            await place.aclose()
            await welcome


async def has_refused(url: str) -> bool:
    async with httpx2.AsyncClient(base_url=url) as http:
        return re.search(r"tickwire_refused_total\{[^}]*\} [1-9]", (await http.get("/metrics")).text) is not None


async def too_many_streams(scenario: Scenario) -> None:
    """The server answers 429."""
    await full_server(scenario, max_per_address=1)


async def too_many_readers(scenario: Scenario) -> None:
    """The server answers 503."""
    await full_server(scenario, max_readers=1)


async def silence(scenario: Scenario, heartbeat_s: float = 1, silence_s: float = 0) -> None:
    """The client stays connected during many heartbeats, and receives the next event on the same connection."""
    # Our own clients reconnect after three silent intervals, and the server looks for silent streams once a second.
    async with scenario.server(heartbeat=heartbeat_s) as server, scenario.client(server.url) as (client, proxy):
        await read_until(client, "welcome")
        now = asyncio.get_running_loop().time
        begin = now()
        before = sum(each.forwarded_bytes for each in proxy.connections)
        # A heartbeat has at least 20 bytes, also in a compressed stream.
        await wait_until(
            lambda: sum(each.forwarded_bytes for each in proxy.connections) > before + 60 and now() > begin + silence_s,
            poll_interval_s=0.05,
        )
        await publish(server.url, 1)
        event = await client.next_event()
        assert (event.name, event.data["last"], client.closings) == ("message", 1, 0)


SCENARIOS: dict[str, Callable[[Scenario], Awaitable[None]]] = {
    "connect": connect,
    "compression": compression,
    "resume after kill -9": resume,
    "reset": reset,
    "gap": gap,
    "bye": bye,
    "expiry": expiry,
    "429": too_many_streams,
    "503": too_many_readers,
    "silence": silence,
}
# These cells take one or two seconds each. All other cells run in `make test-slow`.
SHORT_CLIENTS = ("AsyncClient", "@tickwire/client", "curl", "requests", "eventsource 3")
SHORT_SCENARIOS = ("connect", "compression", "reset", "gap", "bye")
# Faults of libraries, which no server can prevent.
PART_OF_AN_EVENT = "it resumes after the id of an event that it has received only in part"
KNOWN_FAULTS = {
    ("eventsource 2", "reset"): PART_OF_AN_EVENT,
    ("fetch-event-source", "reset"): PART_OF_AN_EVENT,
}


def marks(client: str, name: str) -> list[pytest.MarkDecorator]:
    """Return the markers of a cell of the table."""
    if (client, name) in KNOWN_FAULTS:
        return [pytest.mark.skip(reason=KNOWN_FAULTS[client, name])]
    return [] if client in SHORT_CLIENTS and name in SHORT_SCENARIOS else [pytest.mark.long]


CELLS = [
    pytest.param(client, name, id=f"{client}-{name}", marks=marks(client, name))
    for client in (*PROGRAMS, *BROWSERS)
    for name in SCENARIOS
]


@pytest.mark.parametrize(("client", "name"), CELLS)
async def test_each_client_passes_each_scenario(client: str, name: str, tmp_path: Path) -> None:
    require(client)
    async with asyncio.timeout(COMPILE_TIMEOUT_S if client == "Rust" else CELL_TIMEOUT_S):
        await SCENARIOS[name](Scenario(client, tmp_path))


@pytest.mark.long
async def test_programs_stay_connected_for_a_minute_of_silence(tmp_path: Path) -> None:
    """The heartbeat has its default interval. All programs wait at the same time."""
    async with asyncio.TaskGroup() as group:
        for client in PROGRAMS:
            with contextlib.suppress(pytest.skip.Exception):
                require(client)
                group.create_task(silence(Scenario(client, tmp_path), heartbeat_s=15, silence_s=60))
