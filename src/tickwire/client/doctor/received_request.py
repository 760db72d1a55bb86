"""The request as the server received it, and checks for changes that a proxy has made."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import NamedTuple

import httpx2
import msgspec

from tickwire.client.doctor.finding import Diagnosis
from tickwire.client.doctor.stream_record import STREAM_PATH
from tickwire.core.received_request import ReceivedRequest

# An address for documentation (RFC 5737), which no client has.
_INVENTED_ADDRESS = "192.0.2.77"
_MAX_CLOCK_SKEW_S = 2.0


class RequestExchange(msgspec.Struct, frozen=True):
    """A request as the server received it, and how many seconds the server's clock is ahead of this machine's clock."""

    received: ReceivedRequest
    clock_skew_s: float
    round_trip_s: float


class Answer(NamedTuple):
    """The answer to `GET /v1/stream/request`. `response` contains the head of the answer, and `text` is its body.
    `exchange` is None if the answer does not come from a Tickwire server. If the compressed body cannot be decoded,
    `decoding_error` is the reason, and `text` is empty.
    """

    response: httpx2.Response
    text: str = ""
    exchange: RequestExchange | None = None
    decoding_error: str = ""


async def exchange_request(client: httpx2.AsyncClient, base_url: str, headers: Mapping[str, str]) -> Answer:
    """Ask the server how it received a request."""
    started_at = time.time_ns() // 1000
    async with client.stream("GET", f"{base_url}{STREAM_PATH}/request", headers=headers) as response:
        try:
            content = await response.aread()
        except httpx2.DecodingError as error:
            return Answer(response, decoding_error=str(error) or type(error).__name__)
    round_trip_us = time.time_ns() // 1000 - started_at
    try:
        received = msgspec.json.decode(content, type=ReceivedRequest)
    except msgspec.DecodeError:
        return Answer(response, response.text)
    skew_us = received.time - (started_at + round_trip_us / 2)
    return Answer(response, response.text, RequestExchange(received, skew_us / 1e6, round_trip_us / 1e6))


async def check_invented_address(
    client: httpx2.AsyncClient,
    base_url: str,
    headers: Mapping[str, str],
    plain: ReceivedRequest,
    diagnosis: Diagnosis,
) -> None:
    """Check that the server ignores an invented client address in the request's headers.

    `headers` contains the token. `plain` is an earlier request without an invented address, as the server received it.

    In one case, the server may use the invented address: the doctor runs at the address of a trusted proxy. A proxy has
    then appended the address of the doctor to the header X-Forwarded-For, so the header contains more addresses than in
    `plain`.
    """
    sent = {**headers, "x-forwarded-for": _INVENTED_ADDRESS}
    exchange = (await exchange_request(client, base_url, sent)).exchange
    if exchange is None or exchange.received.address != _INVENTED_ADDRESS:
        return
    if exchange.received.forwarded_hops <= max(1, plain.forwarded_hops):
        diagnosis.add("invented-address", "the server believes an invented address in the header X-Forwarded-For")


def check_received(exchange: RequestExchange, sent: Mapping[str, str], diagnosis: Diagnosis) -> None:
    """Check the headers, the HTTP version and the address with which the request arrived at the server."""
    received = exchange.received
    if received.http_version == "1.0":
        diagnosis.add("http-1.0", "the request arrived at the server as HTTP/1.0")
    if "accept-encoding" in sent and "gzip" not in (received.accept_encoding or ""):
        diagnosis.add("lost-accept-encoding", "the header `Accept-Encoding: gzip` does not reach the server")
    if "last-event-id" in sent and "last-event-id" not in received.headers:
        diagnosis.add("lost-last-event-id", "the header Last-Event-ID does not reach the server")
    if "authorization" in sent and "authorization" not in received.headers:
        diagnosis.add("lost-authorization", "the header Authorization does not reach the server")
    if "x-forwarded-for" in received.headers and not received.from_trusted_proxy:
        diagnosis.add(
            "untrusted-proxy",
            f"the server ignores the header X-Forwarded-For, because {received.address or 'the proxy'} is not a "
            "trusted proxy; all readers count as one address",
            change=f"tickwire serve --trusted-proxies {received.address or '<address of the proxy>'}",
        )
    elif "x-forwarded-for" not in received.headers and diagnosis.product is not None:
        suffix = "" if received.address is None else f": {received.address}"
        diagnosis.add("no-forwarded-for", f"the server sees all readers with the same address{suffix}")


def check_clock(exchange: RequestExchange, diagnosis: Diagnosis) -> None:
    """Check that the clocks of the server and of this machine agree."""
    skew_s = exchange.clock_skew_s
    diagnosis.measurements["clock_skew_s"] = round(skew_s, 3)
    diagnosis.measurements["round_trip_ms"] = round(exchange.round_trip_s * 1000, 1)
    if abs(skew_s) > _MAX_CLOCK_SKEW_S + exchange.round_trip_s:
        direction = "ahead of" if skew_s > 0 else "behind"
        diagnosis.add("clock-skew", f"the server's clock is {abs(skew_s):.1f} s {direction} the clock of this machine")
