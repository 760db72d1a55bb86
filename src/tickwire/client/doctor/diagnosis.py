"""Run all checks against the URL of a server."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from urllib.parse import urlsplit

import httpx2

from tickwire.client.doctor.cors_check import check_cors, check_preflight
from tickwire.client.doctor.finding import Diagnosis
from tickwire.client.doctor.http_version_check import (
    check_answer_version,
    check_browser_version,
    find_browser_version,
    has_http_2_library,
)
from tickwire.client.doctor.product import find_product, provoke_product
from tickwire.client.doctor.received_request import (
    RequestExchange,
    check_clock,
    check_invented_address,
    check_received,
    exchange_request,
)
from tickwire.client.doctor.stream_checks import (
    check_answer,
    check_compression,
    check_end,
    check_heartbeats,
    check_stream_limit,
)
from tickwire.client.doctor.stream_record import STREAM_PATH, StreamRecord, record_stream
from tickwire.client.http import check_url
from tickwire.client.token import TokenSource, bearer_header
from tickwire.errors import InputError
from tickwire.redaction import redact_address

# The server answers at once. A proxy that holds back the first event of a stream for this long buffers the stream.
ANSWER_TIMEOUT_S = 10.0
_MAX_REDIRECTS = 5
_CLOCK_EXCHANGES = 3
_UNKNOWN_EVENT_ID = "doctor-1"
_PROGRESS_INTERVAL_S = 5.0


class Doctor:
    """Examines the path to the server at `url`. `run` returns the diagnosis.

    `origin` is the origin of web pages that read the stream. The doctor watches two streams for `watch_s` seconds. By
    default, it watches them for two heartbeat intervals. It waits at most `answer_timeout_s` for each answer and for
    the first event. It calls `on_progress` with one line of text for each step.
    """

    def __init__(
        self,
        url: str,
        *,
        token: TokenSource = None,
        origin: str | None = None,
        watch_s: float | None = None,
        answer_timeout_s: float = ANSWER_TIMEOUT_S,
        on_progress: Callable[[str], None] | None = None,
    ) -> None:
        self._base_url = check_url(url.partition(STREAM_PATH)[0])
        self._headers = dict(bearer_header(token) or {})
        self._origin = origin
        self._watch_s = watch_s
        self._answer_timeout_s = answer_timeout_s
        self._on_progress = on_progress or (lambda _text: None)
        self._diagnosis = Diagnosis(redact_address(self._base_url))

    async def run(self) -> Diagnosis:
        """Run all checks. A failed check is a finding; the method raises no error for a network failure."""
        timeout = httpx2.Timeout(self._answer_timeout_s, read=None)
        async with httpx2.AsyncClient(timeout=timeout) as client:
            try:
                exchange = await self._check_requests(client)
                await self._check_streams(client, exchange)
            except (httpx2.RequestError, httpx2.InvalidURL, TimeoutError) as error:
                self._add_failure(error)
        return self._diagnosis

    async def _check_requests(self, client: httpx2.AsyncClient) -> RequestExchange | None:
        """Ask the server how it received a request, and check the answer.

        Return None if the answer does not describe the received request.
        """
        self._on_progress(f"connecting to {redact_address(self._base_url)}")
        async with asyncio.timeout(self._answer_timeout_s):
            sent = self._compressed_headers()
            answer = await exchange_request(client, self._base_url, sent)
            for _ in range(_MAX_REDIRECTS):
                if not (answer.response.has_redirect_location and self._follow_redirect(answer.response)):
                    break
                sent = self._compressed_headers()
                answer = await exchange_request(client, self._base_url, sent)
            self._diagnosis.product = find_product(answer.response.headers.multi_items(), answer.text)
            if self._diagnosis.product is None:
                self._diagnosis.product = await provoke_product(self._base_url)
            if answer.decoding_error:
                text = f"the compressed answer to {STREAM_PATH}/request cannot be decoded: {answer.decoding_error}"
                self._diagnosis.add("undecodable", text)
            if answer.exchange is None:
                return None
            check_received(answer.exchange, sent, self._diagnosis)
            # The first request also opened the connection, which took additional time. So send more requests, and use
            # the fastest request to compare the clocks.
            answers = [await exchange_request(client, self._base_url, sent) for _ in range(_CLOCK_EXCHANGES)]
            exchanges = [each.exchange for each in (answer, *answers) if each.exchange is not None]
            exchange = min(exchanges, key=lambda each: each.round_trip_s)
        check_clock(exchange, self._diagnosis)
        # Without a proxy, the server uses no address from a header, so an invented address has no effect.
        if self._diagnosis.product is not None or "x-forwarded-for" in exchange.received.headers:
            async with asyncio.timeout(self._answer_timeout_s):
                await check_invented_address(client, self._base_url, self._headers, exchange.received, self._diagnosis)
        return exchange

    def _compressed_headers(self) -> dict[str, str]:
        return {**self._headers, "accept-encoding": "gzip", "last-event-id": _UNKNOWN_EVENT_ID}

    def _follow_redirect(self, response: httpx2.Response) -> bool:
        """Continue with the target of a redirect. Return False if the target is not an HTTP URL."""
        self._diagnosis.product = find_product(response.headers.multi_items())
        source = f"{redact_address(self._base_url)} redirects (status {response.status_code})"
        # The library computes the target of the redirect. It keeps the token if scheme, host and port stay the same, or
        # if only http changes to https on the default ports. Otherwise it removes the token.
        request = response.next_request
        try:
            if request is None:
                raise InputError("the header Location of the redirect contains no URL")
            # The query of a login page may contain secrets, which must not appear in a report.
            url = request.url.copy_with(query=None, fragment=None, userinfo=b"")
            target = check_url(str(url).partition(STREAM_PATH)[0])
        except InputError as error:
            self._diagnosis.add("redirect", f"{source}, but no client can follow the redirect: {error}")
            return False
        if "authorization" not in request.headers:
            self._headers.pop("authorization", None)
        self._diagnosis.add("redirect", f"{source} to {target}", change=f"use the URL {target} in clients")
        self._base_url = target
        return True

    async def _check_streams(self, client: httpx2.AsyncClient, exchange: RequestExchange | None) -> None:
        plain_headers = {**self._headers, "accept-encoding": "identity"}
        if self._origin is not None:
            plain_headers["origin"] = self._origin
        browser_version = await find_browser_version(self._base_url)
        async with contextlib.AsyncExitStack() as stack:
            clients = [client]
            if browser_version == "HTTP/2" and has_http_2_library():
                http_2_client = httpx2.AsyncClient(timeout=client.timeout, http1=False, http2=True)
                clients.append(await stack.enter_async_context(http_2_client))
            http_1, *http_2 = await self._watch(clients, plain_headers, self._compressed_headers())
        plain = http_1[0]
        product = find_product(plain.headers, plain.body)
        self._diagnosis.product = self._diagnosis.product or product
        if not self._check_records(http_1, exchange, self._diagnosis):
            return
        check_answer_version(plain.http_version, self._diagnosis)
        check_browser_version(browser_version, self._base_url, self._diagnosis)
        if exchange is None:
            self._diagnosis.notes.append(
                "no answer to /v1/stream/request came from the server, so the clocks and the request headers are "
                "unchecked: update the server, or forward this path"
            )
        for records in http_2:
            diagnosis = Diagnosis(self._diagnosis.url, self._diagnosis.product)
            if check_stream_limit(records, diagnosis):
                self._check_records(records, exchange, diagnosis)
            self._diagnosis.add_http_2(diagnosis)
        if self._origin is not None:
            async with asyncio.timeout(self._answer_timeout_s):
                await check_preflight(client, self._base_url, self._origin, [*self._headers], self._diagnosis)

    def _check_records(
        self, records: list[StreamRecord], exchange: RequestExchange | None, diagnosis: Diagnosis
    ) -> bool:
        """Check an uncompressed and a compressed stream. Return False if one of them is not a stream of a server."""
        plain, compressed = records
        if not all(check_answer(each, diagnosis) for each in records):
            return False
        if compressed.welcome is not None and compressed.welcome.get("resume") is None:
            diagnosis.add("lost-last-event-id", "the header Last-Event-ID does not reach the server")
        for record in records:
            check_end(record, diagnosis)
        if exchange is not None:
            check_heartbeats(records, exchange.clock_skew_s, diagnosis)
        received = None if exchange is None else exchange.received
        check_compression(plain, compressed, received, diagnosis)
        if self._origin is not None:
            check_cors(plain, self._origin, diagnosis)
        return True

    async def _watch(self, clients: list[httpx2.AsyncClient], *headers: dict[str, str]) -> list[list[StreamRecord]]:
        """Open a stream for each client and each set of headers, and watch all streams at the same time."""
        versions = " over HTTP/1.1, and two over HTTP/2" if len(clients) > 1 else ""
        self._on_progress(f"opening two streams{versions}: one uncompressed, one compressed")
        progress = asyncio.create_task(self._report_progress())
        try:
            return await asyncio.gather(*(self._record_streams(client, *headers) for client in clients))
        finally:
            progress.cancel()

    async def _record_streams(self, client: httpx2.AsyncClient, *headers: dict[str, str]) -> list[StreamRecord]:
        return await asyncio.gather(
            *(
                record_stream(
                    client,
                    self._base_url,
                    each,
                    answer_timeout_s=self._answer_timeout_s,
                    watch_s=self._watch_s,
                )
                for each in headers
            )
        )

    async def _report_progress(self) -> None:
        loop = asyncio.get_running_loop()
        started_at = loop.time()
        limit = "for two heartbeat intervals" if self._watch_s is None else f"for {self._watch_s:g} s"
        while True:
            await asyncio.sleep(_PROGRESS_INTERVAL_S)
            self._on_progress(f"watching the streams {limit}: {loop.time() - started_at:.0f} s have passed")

    def _add_failure(self, error: Exception) -> None:
        host = urlsplit(self._base_url).hostname
        tls_error = _find_tls_error(error)
        if isinstance(tls_error, ssl.SSLCertVerificationError):
            self._diagnosis.add("tls", f"the certificate of {host} is not valid: {tls_error.verify_message}")
        elif tls_error is not None:
            self._diagnosis.add(
                "tls",
                f"the TLS connection to {host} failed: {tls_error.reason or tls_error}",
                culprit="the program that accepts connections on this port",
                change="if the port is for unencrypted HTTP, use a URL with http://; otherwise enable TLS 1.2 or newer",
            )
        else:
            text = str(error) or "no answer in time"
            self._diagnosis.add("unreachable", f"{redact_address(self._base_url)} does not answer: {text}")


def _find_tls_error(error: BaseException | None) -> ssl.SSLError | None:
    """Return the TLS error that caused an error, or None."""
    while error is not None and not isinstance(error, ssl.SSLError):
        error = error.__cause__ or error.__context__
    return error
