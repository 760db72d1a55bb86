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
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx2
import pytest

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
    "Rust": ("cargo", "run", "--quiet", "--manifest-path", str(FOLDER / "rust" / "Cargo.toml"), "--"),
}
PYTHON_MODULES = {"aiohttp": "aiohttp", "requests": "requests"}
PATH_AND_QUERY = "/v1/stream?symbols=A&fields=last&delivery=all"
# The network of all scenarios.
LATENCY_S, JITTER_S, MAX_CHUNK_BYTES = 0.001, 0.003, 89

OpenClient = Callable[..., AbstractAsyncContextManager[ForeignClient]]


@pytest.fixture
def open_client(client: str, tmp_path: Path) -> OpenClient:
    """Open a client that reads a stream of a server through a fault proxy. Yield the client and the proxy."""

    @contextlib.asynccontextmanager
    async def open_(url: str, page: ClientPage, page_port: int, extra: str = "") -> AsyncIterator[Any]:
        seed = random.randrange(2**32)
        print(f"seed of the proxy: {seed}")
        async with contextlib.AsyncExitStack() as stack:
            proxy = await stack.enter_async_context(FaultProxy(url, seed=seed))
            proxy.latency_s, proxy.jitter_s, proxy.max_chunk_bytes = LATENCY_S, JITTER_S, MAX_CHUNK_BYTES
            stream_url = proxy.url + PATH_AND_QUERY + extra
            if client in BROWSERS:
                page.stream_url = stream_url
                await stack.enter_async_context(page.running(page_port))
                await stack.enter_async_context(open_browser(client, f"http://127.0.0.1:{page_port}/", tmp_path))
                yield page, proxy
                return
            require(client)
            program = ClientProgram(PROGRAMS[client], stream_url)
            stack.push_async_callback(program.stop)
            yield program, proxy

    return open_


def require(client: str) -> None:
    """Skip the test if a program or a library of the client is missing."""
    command = PROGRAMS[client]
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    if client in PYTHON_MODULES and find_spec(PYTHON_MODULES[client]) is None:
        pytest.skip(f"{PYTHON_MODULES[client]} is not installed")
    if client == "@tickwire/client" and not JS_CLIENT.exists():
        pytest.skip("not built: python dashboard/build.py --folder clients/js")
    if command[:2] == NODE_READER and not (FOLDER / "js" / "node_modules").is_dir():
        pytest.skip("the libraries of tests/wire/clients/js are not installed: sh tests/system-programs")


async def publish(url: str, *prices: float) -> None:
    async with httpx2.AsyncClient(base_url=url) as http:
        for price in prices:
            assert (await http.post("/v1/quotes", json=[{"symbol": "A", "last": price}])).status_code == 201


async def read_until(client: ForeignClient, name: str) -> ClientEvent:
    """Return the next event with this name. Skip all other events."""
    while (event := await client.next_event()).name != name:
        pass
    return event


async def read_prices(client: ForeignClient, count: int) -> list[float]:
    return [(await read_until(client, "message")).data["last"] for _ in range(count)]


class Scenario:
    """Opens servers and clients for one test."""

    def __init__(self, open_client: OpenClient, folder: Path) -> None:
        self.folder = folder
        self.page_port = find_free_port()
        self.origin = f"http://127.0.0.1:{self.page_port}"
        self._open_client = open_client

    def server(self, **settings: Any) -> AbstractAsyncContextManager[RunningServer]:
        return run_server(cors=self.origin, **settings)

    def client(self, url: str, extra: str = "") -> AbstractAsyncContextManager[Any]:
        return self._open_client(url, ClientPage(), self.page_port, extra)


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
    settings = {"auth": "secret", "auth_secret": TEST_SECRET, "auth_query": True, "auth_leeway": 0}
    token = sign_token(exp=time.time() + 15)
    async with (
        scenario.server(**settings) as server,
        scenario.client(server.url, f"&access_token={token}") as (client, _proxy),
    ):
        assert (await read_until(client, "expiring")).data["in_ms"] > 0
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


async def silence(scenario: Scenario) -> None:
    """The client stays connected during many heartbeats, and receives the next event on the same connection."""
    # Our own clients reconnect after three silent intervals, and the server looks for silent streams once a second.
    async with scenario.server(heartbeat=1) as server, scenario.client(server.url) as (client, proxy):
        await read_until(client, "welcome")
        before = sum(each.forwarded_bytes for each in proxy.connections)
        # A heartbeat has at least 20 bytes, also in a compressed stream.
        await wait_until(lambda: sum(each.forwarded_bytes for each in proxy.connections) > before + 60)
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
KNOWN_FAULTS = {
    (
        "fetch-event-source",
        "reset",
    ): "it resumes after the id of an event that it has received only in part",
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
async def test_each_client_passes_each_scenario(client: str, name: str, open_client, tmp_path: Path) -> None:
    await SCENARIOS[name](Scenario(open_client, tmp_path))
