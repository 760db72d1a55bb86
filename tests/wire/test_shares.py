"""Each shared resource: a bearer that has used its share is answered 429, and other bearers are not affected."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple, TypeAlias
from urllib.parse import urlsplit

import httpx2
import pytest

from tickwire.hub.fanout import screen_shares
from tickwire.server.middleware import journal_writes
from tickwire.server.shares import SHARES
from tickwire.server.transport import body_room
from tickwire.server.transport.body_room import BodyRoom
from tickwire.sessions import stored_subscriptions, subscription_overrides
from tickwire.testing.server import run_server
from tickwire.testing.tokens import TEST_SECRET, bearer_header, sign_token
from tickwire.testing.waiting import wait_until
from tickwire.testing.wire import open_stream

Headers: TypeAlias = dict[str, str]
ATTEMPTS = 6
TESTS = Path(__file__).parents[1]


HALF_BODY_BYTES = 50_000


class Market(NamedTuple):
    """A server with small shares, and an HTTP client of this server."""

    url: str
    http: httpx2.AsyncClient
    streams: contextlib.AsyncExitStack
    # The sizes of the parts of incomplete bodies that the server has received and accepted.
    reserved: list[int]

    async def open(self, headers: Headers, **params: str) -> int:
        """Open a stream that stays open. Return the status."""
        stream = await self.streams.enter_async_context(open_stream(self.url, params, headers=headers))
        if stream.status == 200:
            await stream.next_event()
        assert stream.status != 429 or int(stream.headers["retry-after"]) >= 1
        return stream.status

    async def call(self, method: str, path: str, headers: Headers, json: object = None) -> int:
        answer = await self.http.request(method, path, json=json, headers=headers)
        assert answer.status_code != 429 or int(answer.headers["retry-after"]) >= 1
        return answer.status_code

    async def redeem_ticket(self, headers: Headers, number: int) -> int:
        ticket = (await self.http.post("/v1/tickets", headers=headers)).json()["ticket"]
        return (await self.http.head(f"/v1/stream?symbols=T{number}&ticket={ticket}")).status_code

    async def begin_body(self, headers: Headers, number: int) -> int:
        """Send the first half of a body. Return the status, or 200 if the server waits for the rest."""
        url, before = urlsplit(self.url), sum(self.reserved)
        reader, writer = await asyncio.open_connection(url.hostname, url.port)
        self.streams.callback(writer.close)
        head = f"PATCH /v1/clients/c{number} HTTP/1.1\r\nHost: a\r\nAuthorization: {headers['authorization']}\r\n"
        writer.write(f"{head}Content-Length: {2 * HALF_BODY_BYTES}\r\n\r\n".encode() + b" " * HALF_BODY_BYTES)
        answer = asyncio.ensure_future(reader.readuntil(b"\r\n\r\n"))
        self.streams.callback(answer.cancel)
        await wait_until(lambda: sum(self.reserved) - before == HALF_BODY_BYTES or answer.done())
        if not answer.done():
            return 200
        assert b"retry-after: 60\r\n" in answer.result()
        return int(answer.result().split()[1])

    async def evict(self, headers: Headers, number: int) -> int:
        await self.open(headers, symbols="S", client_id=f"e{number}")
        return await self.call("DELETE", f"/v1/clients/e{number}", headers)

    async def change(self, headers: Headers, number: int, **patch: object) -> int:
        client_id = f"{headers['authorization'][-8:]}{number}"
        await self.open(headers, symbols="S", client_id=client_id)
        return await self.call("PATCH", f"/v1/clients/{client_id}", headers, patch)

    async def reset(self, headers: Headers, number: int) -> int:
        """Change a subscription, then discard the change: open a new stream with the original subscription."""
        status = await self.change(headers, number, add=["S2"])
        client_id = f"{headers['authorization'][-8:]}{number}"
        return status if status == 429 else await self.open(headers, symbols="S", client_id=client_id)


Action: TypeAlias = Callable[[Market, Headers, int], Awaitable[int]]

JOURNAL = "journal events for changed and stored subscriptions, evictions of own streams, and used tickets"
ACTIONS: dict[str, list[Action]] = {
    "request bodies that have not arrived completely": [Market.begin_body],
    "streams": [lambda market, headers, number: market.open(headers, symbols=f"S{number}")],
    "requests": [lambda market, headers, number: market.call("GET", "/v1/whoami", headers)],
    JOURNAL: [
        Market.redeem_ticket,
        Market.evict,
        Market.reset,
        lambda market, headers, number: market.change(headers, number, add=["S2"]),
        lambda market, headers, number: market.call("POST", "/v1/subscriptions", headers, {"symbols": f"P{number}"}),
    ],
    "messages in the journal": [
        lambda market, headers, number: market.call("POST", "/v1/messages", headers, {"event": "hello", "data": number})
    ],
    "changed subscriptions": [lambda market, headers, number: market.change(headers, number, add=["S2"])],
    "stored subscriptions": [
        lambda market, headers, number: market.call("POST", "/v1/subscriptions", headers, {"symbols": f"P{number}"})
    ],
    "different calculations in filters": [
        lambda market, headers, number: market.open(headers, filter=f"last * {number + 2} > bid"),
        lambda market, headers, number: market.change(headers, number, filter=f"last * {number + 2} > bid"),
    ],
    "different text patterns in filters": [
        lambda market, headers, number: market.open(headers, filter=f'symbol like "A{number}%"')
    ],
    "different structures in filters": [
        lambda market, headers, number: market.open(
            headers, filter=" and ".join(f"(last > {place} or bid > {place})" for place in range(number + 1))
        )
    ],
    "different top-N screens": [
        lambda market, headers, number: market.open(headers, order="last", top=number + 1),
        lambda market, headers, number: market.change(headers, number, order="last", top=number + 1),
    ],
    "symbols on the board": [
        lambda market, headers, number: market.call(
            "POST", "/v1/quotes", headers, [{"symbol": f"{'AB'[headers['x-name'] == 'bob']}{number}", "bid": 1}]
        )
    ],
}
# The tests of the other resources, in the folder `tests`.
TESTED_ELSEWHERE = {
    "streams of one address": "wire/test_stream_admission.py::test_limits_per_address_count_networks_of_clients",
    "published ticks in the journal": "wire/test_guard.py::test_the_rate_of_a_user_counts_all_addresses",
    "different delays": "wire/test_delayed_market.py::test_more_different_delays_than_the_limit_are_503",
    "revocations": "wire/test_authorization.py::test_the_number_of_revocations_is_bounded",
    "audit log: requests that change something": (
        "unit/server/test_audit.py::test_the_newest_lines_are_kept_in_a_bounded_number_of_bounded_files"
    ),
    "audit log: requests that change nothing": (
        "wire/test_guard.py::test_one_client_cannot_fill_the_audit_log_with_requests_that_change_nothing"
    ),
    "request log: starts and ends of streams": "wire/test_log_fields.py::test_many_streams_write_few_lines",
    "lines that wait for a slow disk or pipe": (
        "unit/ops/test_log_handler.py::test_nobody_reads_the_log_and_the_caller_continues"
    ),
}


def test_each_shared_resource_has_a_test() -> None:
    assert {share.resource for share in SHARES} == {*ACTIONS, *TESTED_ELSEWHERE}
    for path, _, name in (test.partition("::") for test in TESTED_ELSEWHERE.values()):
        assert f"def {name}(" in (TESTS / path).read_text(), name


def bearer(name: str) -> Headers:
    """Return the headers of a user that may read and publish some symbols."""
    token = sign_token("publish messages", symbols=["A*" if name == "ann" else "B*", "S*", "T*", "P*"], sub=name)
    return {**bearer_header(token), "x-name": name}


@pytest.fixture
def small_shares(monkeypatch) -> dict[str, dict[str, object]]:
    """Reduce the shares. Return the settings of the server for each resource."""
    monkeypatch.setattr(stored_subscriptions, "MAX_STORED_BYTES_PER_USER", 25)
    monkeypatch.setattr(screen_shares, "MAX_FILTER_PARTS_PER_BEARER", 2)
    monkeypatch.setattr(screen_shares, "MAX_RANKED_SCREENS_PER_BEARER", 2)
    monkeypatch.setattr(body_room, "MAX_UNFINISHED_BYTES_PER_BEARER", 2 * HALF_BODY_BYTES)
    monkeypatch.setattr(journal_writes, "MAX_BURST_MESSAGES", 2)
    monkeypatch.setattr(journal_writes, "MAX_MESSAGES_PER_S", 0.001)
    return {
        "streams": {"max_per_user": 2},
        "requests": {"max_requests": 0.001},
        "symbols on the board": {"max_board_per_publisher": 2},
    }


@pytest.fixture
def reserved(monkeypatch) -> list[int]:
    """The sizes that the server has reserved for incomplete bodies."""
    sizes, reserve = list[int](), BodyRoom.reserve

    def record(room: BodyRoom, bearer: str | None, size: int) -> None:
        reserve(room, bearer, size)
        sizes.append(size)

    monkeypatch.setattr(BodyRoom, "reserve", record)
    return sizes


@pytest.mark.parametrize("resource", ACTIONS)
async def test_a_share_ends_with_429_for_its_bearer_only(resource, small_shares, reserved, monkeypatch) -> None:
    if resource == JOURNAL:
        monkeypatch.setattr(journal_writes, "MAX_JOURNAL_BURST_EVENTS", 3)
        monkeypatch.setattr(journal_writes, "MAX_JOURNAL_EVENTS_PER_S", 0.001)
        monkeypatch.setattr(stored_subscriptions, "MAX_STORED_BYTES_PER_USER", 1_000)
    if resource == "changed subscriptions":
        monkeypatch.setattr(subscription_overrides, "MAX_OVERRIDES_PER_USER", 2)
    for action in ACTIONS[resource]:
        ann, bob = bearer("ann"), bearer("bob")
        async with (
            run_server(auth="secret", auth_secret=TEST_SECRET, **small_shares.get(resource, {})) as server,
            httpx2.AsyncClient(base_url=server.url) as http,
            contextlib.AsyncExitStack() as streams,
        ):
            market = Market(server.url, http, streams, reserved)
            first, *_, last = [await action(market, ann, number) for number in range(ATTEMPTS)]
            assert (first in (200, 201), last) == (True, 429), (first, last)
            # Every client of this test has the same address, which has its own share of requests.
            if resource != "requests":
                assert await action(market, bob, 0) in (200, 201)
