"""Check that a server behaves as docs/protocol.md describes. The suite does not depend on the server's implementation.

By default, the suite starts a server for each sender, and a server that sends through ASGI. The command
`pytest tests/wire/conformance --base-url URL` tests a running server instead, which must accept prices over HTTP
(`--feed http`). The running server may have other clients, because the suite's symbols and client ids have a random
prefix. The suite leaves a few symbols on the board of the server, and sends one message named `conformance` to all
readers of messages.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Any

import httpx2
import jsonschema_rs
import pytest
import pytest_asyncio

from tickwire.testing.senders import batches_of_any_size
from tickwire.testing.server import run_server
from tickwire.testing.wire import WireEvent, WireStream, open_stream

USER_HEADER = "X-Conformance-User"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "server" in metafunc.fixturenames:
        has_base_url = metafunc.config.getoption("--base-url")
        targets = ["running server"] if has_base_url else ["uring", "native", "transport", "ASGI sink"]
        metafunc.parametrize("server", targets, indirect=True, scope="module")


class ConformanceTarget:
    """The server under test. The server receives each symbol and client id of the tests with a prefix."""

    def __init__(self, url: str, client: httpx2.AsyncClient, user_header: str) -> None:
        self.url = url
        self.client = client
        self.user_header = user_header
        self.prefix = f"T{secrets.token_hex(3)}-"

    def prefixed(self, names: str) -> str:
        """Add the prefix to each name in a comma-separated list."""
        return ",".join(self.prefix + name for name in names.split(","))

    async def publish(self, at: int | None = None, **prices: float) -> dict[str, Any]:
        """Publish one tick for each symbol, in order. Return the receipt. `at` is in microseconds, by default now."""
        ticks = [{"symbol": self.prefix + name, "last": last, "ts": at} for name, last in prices.items()]
        answer = await self.client.post("/v1/quotes", json=ticks)
        assert answer.status_code == 201, answer.text
        return answer.json()

    def stream(
        self, symbols: str = "*", headers: dict[str, str] | None = None, **params: str
    ) -> AbstractAsyncContextManager[WireStream]:
        """Open a stream of these symbols; `*` is every symbol with the prefix."""
        if "subscription" not in params:
            params["symbols"] = self.prefixed(symbols)
        return open_stream(self.url, params, headers=headers)

    def symbol_prices(self, events: list[WireEvent]) -> list[tuple[str, float]]:
        """Return the symbol (without prefix) and the price of each quote."""
        return [(event.data["symbol"].removeprefix(self.prefix), event.data["last"]) for event in events]

    async def next_prices(self, stream: WireStream, count: int) -> list[tuple[str, float]]:
        """Read the next `count` quotes. Return their pairs of symbol and price."""
        return self.symbol_prices(await stream.next_events(count))

    async def read_welcome(self, stream: WireStream) -> dict[str, Any]:
        """Read the `welcome` event, and return its data."""
        event = await stream.next_event()
        assert event is not None
        assert event.name == "welcome"
        return event.data


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(request: pytest.FixtureRequest) -> AsyncIterator[tuple[str, str]]:
    """The URL and the user header of the server under test.

    By default, each module has a new server for each sender and for ASGI. With --base-url, all tests share the running
    server.
    """
    base_url = request.config.getoption("--base-url")
    if base_url:
        yield base_url.rstrip("/"), request.config.getoption("--user-header")
        return
    uses_asgi = request.param == "ASGI sink"
    sender = "transport" if uses_asgi else request.param
    settings = {"heartbeat": 0.5, "user_header": USER_HEADER, "trusted_proxies": "127.0.0.1", "sender": sender}
    with batches_of_any_size(sender):
        async with run_server(bypass_asgi=not uses_asgi, **settings) as running:
            yield running.url, USER_HEADER


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(server: tuple[str, str]) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=server[0]) as http:
        yield http


class EventValidator:
    """Checks each event against the schema of its data in the server's AsyncAPI document.

    The document allows later versions to add keys to an event. This check accepts only known keys, and therefore fails
    if the document omits a key.
    """

    def __init__(self, document: dict[str, Any]) -> None:
        components = document["components"]
        self._keys = {name: set(schema.get("properties", ())) for name, schema in components["schemas"].items()}
        self._schema_names, self._validators = dict[str, str](), dict[str, Any]()
        for name, message in components["messages"].items():
            self._schema_names[name] = message["payload"]["$ref"].rpartition("/")[2]
            self._validators[name] = jsonschema_rs.validator_for({**message["payload"], "components": components})

    def check(self, event: WireEvent | None) -> None:
        """Raise an error if an event does not have the form that the document describes."""
        if event is None or event.name in ("comment", "message") or not event.text:
            return
        if event.name in self._validators:
            self._validators[event.name].validate(event.data)
            assert set(event.data) <= self._keys[self._schema_names[event.name]], event


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def validator(client: httpx2.AsyncClient) -> EventValidator:
    return EventValidator((await client.get("/asyncapi.json")).json())


@pytest.fixture(autouse=True)
def _validate_events(validator: EventValidator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Validate each event that a test reads."""
    read_event = WireStream.next_event

    async def read_and_validate(stream: WireStream, *args: float, **options: float) -> WireEvent | None:
        event = await read_event(stream, *args, **options)
        validator.check(event)
        return event

    monkeypatch.setattr(WireStream, "next_event", read_and_validate)


@pytest.fixture
def wire(server: tuple[str, str], client: httpx2.AsyncClient) -> ConformanceTarget:
    return ConformanceTarget(server[0], client, server[1])
