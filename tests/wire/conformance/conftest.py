"""docs/protocol.md, sentence by sentence, against any server: nothing here knows how one is made.

By itself the suite starts servers, one for each way out to a reader. `pytest tests/wire/conformance --base-url URL`
asks a running one instead, which must take prices over HTTP (`--feed http`). It may be in use: symbols and names here
carry a random prefix. What it leaves there are a few symbols on the board, and each reader of messages sees one named
`conformance`.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Any

import httpx2
import pytest
import pytest_asyncio

from tickwire.testing.server import run_server
from tickwire.testing.wire import WireEvent, WireStream, open_stream

USER_HEADER = "X-Conformance-User"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "server" in metafunc.fixturenames:
        given = metafunc.config.getoption("--base-url")
        metafunc.parametrize(
            "server", ["given"] if given else ["fast sink", "plain sink"], indirect=True, scope="module"
        )


class Wire:
    """A server by its URL, and names on it that nobody else uses: `A` here is `prefix + A` there."""

    def __init__(self, url: str, client: httpx2.AsyncClient, user_header: str) -> None:
        self.url = url
        self.client = client
        self.user_header = user_header
        self.prefix = f"T{secrets.token_hex(3)}-"

    def named(self, names: str) -> str:
        """A comma list of names as the server has them."""
        return ",".join(self.prefix + name for name in names.split(","))

    async def publish(self, at: int | None = None, **prices: float) -> dict[str, Any]:
        """One tick for each symbol, in that order; the answer. `at` is their time in microseconds, else it is now."""
        ticks = [{"symbol": self.prefix + name, "last": last, "ts": at} for name, last in prices.items()]
        answer = await self.client.post("/v1/quotes", json=ticks)
        assert answer.status_code == 201, answer.text
        return answer.json()

    def stream(
        self, symbols: str = "*", headers: dict[str, str] | None = None, **params: str
    ) -> AbstractAsyncContextManager[WireStream]:
        """A stream of these symbols; `*` is all of our own."""
        if "subscription" not in params:
            params["symbols"] = self.named(symbols)
        return open_stream(self.url, params, headers=headers)

    def pairs(self, events: list[WireEvent]) -> list[tuple[str, float]]:
        """Symbols and prices of quotes."""
        return [(event.data["symbol"].removeprefix(self.prefix), event.data["last"]) for event in events]

    async def quotes(self, stream: WireStream, count: int) -> list[tuple[str, float]]:
        """The next quotes as pairs."""
        return self.pairs(await stream.events(count))

    async def welcome(self, stream: WireStream) -> dict[str, Any]:
        """The first event's data."""
        event = await stream.event()
        assert event is not None
        assert event.name == "welcome"
        return event.data


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(request: pytest.FixtureRequest) -> AsyncIterator[tuple[str, str]]:
    """The URL and the user header of a server; one of our own for each module and sink, or the one given."""
    given = request.config.getoption("--base-url")
    if given:
        yield given.rstrip("/"), request.config.getoption("--user-header")
        return
    async with run_server(
        fast=request.param == "fast sink", heartbeat=0.5, user_header=USER_HEADER, trusted_proxies="127.0.0.1"
    ) as running:
        yield running.url, USER_HEADER


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(server: tuple[str, str]) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=server[0]) as opened:
        yield opened


@pytest.fixture
def wire(server: tuple[str, str], client: httpx2.AsyncClient) -> Wire:
    return Wire(server[0], client, server[1])
