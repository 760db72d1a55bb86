"""A stream of events. The stream reconnects after a lost connection, and resumes after the last received event."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import Any, Literal, NoReturn, cast

import httpx2

from tickwire.client.backoff import Backoff
from tickwire.client.events import Event
from tickwire.client.http import ErrorResponse, check_url
from tickwire.client.token import AsyncTokenSource, bearer_header, read_token
from tickwire.client.watched_body import WatchedBody
from tickwire.clock import Clock, SystemClock
from tickwire.core.close_reasons import CloseReason
from tickwire.core.codec import decode_json
from tickwire.core.quote import Quote
from tickwire.errors import ClientError, StreamEnded
from tickwire.redaction import redact_address, redact_urls

CONNECT_TIMEOUT_S = 10.0
# The client closes a connection if no byte arrives for this time. After the `welcome` event, the heartbeat interval of
# the server determines the time.
INITIAL_READ_TIMEOUT_S = 60.0
# One heartbeat may be late. But after three silent intervals, the server or the network has probably failed without a
# TCP reset (a half-open connection).
MAX_MISSED_HEARTBEATS = 3.0
# The longest query string. All common proxies forward a query string of this length.
_MAX_QUERY_BYTES = 4_000
_SUBSCRIPTION_PARAMETERS = (
    "symbols", "filter", "order", "top", "events", "candles", "fields", "interval", "delivery", "heartbeats",
)  # fmt: skip

_WIRE_REASONS: dict[str, CloseReason] = {reason.value: reason for reason in CloseReason if reason.is_on_wire}

StreamState = Literal["connecting", "live", "closed"]

log = logging.getLogger(__name__)


class Stream:
    """A stream of a server's quotes. Open the stream with `async with` (see `connect`), and read it with `async for`.

    After a lost connection, the stream reconnects with the id of the last event, so that no event is missing or
    repeated. The server may request a wait before the reconnect. Otherwise the stream waits with exponential backoff
    and full jitter.

    If no byte arrives for three heartbeat intervals of the server, the stream closes the connection and reconnects.

    If `token` is a function, the stream calls the function before each connection. When the server announces that the
    token expires, the stream calls the function again and reconnects with the new token, after the last event.

    If the server no longer has the events that the stream missed, the stream adds 1 to `gaps` and logs a warning. The
    stream raises StreamEnded if the server ended the stream and a reconnect with the same token cannot succeed. The
    stream raises ClientError if the server rejects the request permanently, and after `attempts` failures in a row.

    You can cancel a task that waits for the next event. No event is lost: the next call of `next_event` reconnects and
    resumes after the last received event.
    """

    def __init__(
        self,
        url: str,
        parameters: Mapping[str, str],
        *,
        last_event_id: str | None = None,
        headers: Mapping[str, str] | None = None,
        token: AsyncTokenSource = None,
        attempts: int | None = None,
        on_state: Callable[[StreamState, str], None] | None = None,
        clock: Clock | None = None,
        backoff: Backoff | None = None,
    ) -> None:
        self.last_event_id = last_event_id
        self.welcome: dict[str, Any] = {}
        self.state: StreamState = "connecting"
        self.connections = 0
        self.gaps = 0
        self._url = check_url(url) + "/v1/stream"
        self._parameters = dict(parameters)
        self._headers = {"accept": "text/event-stream", "cache-control": "no-store", **(headers or {})}
        self._token = token
        self._attempts = attempts
        self._on_state = on_state
        self._clock = clock or SystemClock()
        self._backoff = backoff or Backoff()
        self._read_timeout_s = INITIAL_READ_TIMEOUT_S
        # The token of the present connection, and a newer token for the next connection (None if there is none).
        self._sent_token: str | None = None
        self._new_token: str | None = None
        self._token_expires_soon = False
        self._last_reason: str | None = None
        self._final_error: StreamEnded | None = None
        self._retry_delay_s = 0.0
        self._is_failure_logged = False
        self._client = httpx2.AsyncClient()
        self._response: httpx2.Response | None = None
        self._body: WatchedBody | None = None
        self._sse_events: AsyncIterator[httpx2.ServerSentEvent] | None = None

    async def __aenter__(self) -> Stream:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def silence_s(self) -> float | None:
        """The seconds since the last byte of the present connection, or None without a connection."""
        return None if self._body is None else self._clock.monotonic() - self._body.last_byte_at_s

    async def close(self) -> None:
        """Close the stream; a second call does nothing."""
        await self._close_response()
        await self._client.aclose()
        self._set_state("closed", "")

    def __aiter__(self) -> AsyncIterator[Quote]:
        return self

    async def __anext__(self) -> Quote:
        """Return the next quote. Skip all other events."""
        while True:
            event = await self.next_event()
            if event.name == "quote":
                return decode_json(event.text, Quote)

    async def events(self) -> AsyncIterator[Event]:
        """Yield all events: quotes and events with other names."""
        while True:
            yield await self.next_event()

    async def next_event(self) -> Event:
        """Return the next event, which may have any name."""
        while True:
            if self._final_error is not None:
                raise self._final_error
            if self._token_expires_soon:
                await self._renew_token()
            source = self._sse_events or await self._connect_with_retry()
            try:
                sse = await anext(source)
            except StopAsyncIteration:
                await self._prepare_reconnect("the server ended the stream")
            except httpx2.RequestError as error:
                await self._prepare_reconnect(_describe_error(error))
            else:
                self._process_control_fields(sse)
                # Skip a block without data, which is not an event (HTML standard, section 9.2.6).
                if sse.data:
                    return self._process_event(sse)

    def _process_control_fields(self, sse: httpx2.ServerSentEvent) -> None:
        if sse.id:
            self.last_event_id = sse.id
        if sse.retry is not None and sse.retry >= 0:
            self._backoff.initial_wait_s = sse.retry / 1000

    def _process_event(self, sse: httpx2.ServerSentEvent) -> Event:
        event = Event("quote" if sse.event == "message" else sse.event, sse.data, sse.id)
        if event.name == "welcome":
            self.welcome = event.data
            self._read_timeout_s = MAX_MISSED_HEARTBEATS * self.welcome["heartbeat"]
            if self._body is not None:
                self._body.timeout_s = self._read_timeout_s
            self.connections += 1
            self._backoff.reset()
            self._is_failure_logged = False
            self._set_state("live", "")
        elif event.name == "gap":
            self.gaps += 1
            log.warning("this stream missed events that the server cannot send again: %s", event.text)
        elif event.name == "bye":
            self._process_bye(event.data["reason"], event.data["reconnect_in_ms"] / 1000)
        elif event.name == "expiring":
            self._token_expires_soon = callable(self._token)
        return event

    def _process_bye(self, reason: str, delay_s: float) -> None:
        self._retry_delay_s, self._last_reason = delay_s, reason
        # The reason can be unknown, because a newer server may send a reason that this client does not know.
        known_reason = _WIRE_REASONS.get(reason)
        if known_reason is not None and not known_reason.may_return and not callable(self._token):
            hint = "set token= to a function that returns a valid token"
            self._final_error = StreamEnded(f"the server ended the stream (reason: {reason}): {hint}", reason=reason)

    async def _renew_token(self) -> None:
        """Close the connection if the token source has a new token. The next connection uses the new token.

        If the source returns the present token again, keep the connection until the token expires.
        """
        self._token_expires_soon = False
        token = await read_token(self._token)
        if token != self._sent_token:
            self._new_token = token
            await self._close_response()
            self._set_state("connecting", "the token expires soon")

    async def _connect_with_retry(self) -> AsyncIterator[httpx2.ServerSentEvent]:
        while True:
            self._set_state("connecting", "")
            await self._clock.sleep(self._retry_delay_s)
            self._retry_delay_s = 0.0
            try:
                return await self._open_response()
            except httpx2.RequestError as error:
                self._retry_delay_s = getattr(error, "retry_after", None) or 0.0
                await self._prepare_reconnect(_describe_error(error), connect_failed=True)

    async def _open_response(self) -> AsyncIterator[httpx2.ServerSentEvent]:
        token, self._new_token = self._new_token or await read_token(self._token), None
        self._sent_token = token
        headers = {**self._headers, **bearer_header(token)}
        parameters = await self._query_parameters(headers)
        if self.last_event_id:
            headers = {**headers, "last-event-id": self.last_event_id}
        # Set no read timeout here, because the timeout changes when `welcome` arrives. `WatchedBody` applies the
        # timeout.
        timeout = httpx2.Timeout(CONNECT_TIMEOUT_S, read=None)
        request = self._client.build_request("GET", self._url, params=parameters, headers=headers, timeout=timeout)
        try:
            async with asyncio.timeout(self._read_timeout_s):
                self._response = await self._client.send(request, stream=True)
        except TimeoutError:
            raise httpx2.ReadTimeout(f"the server sent no answer within {self._read_timeout_s:g} s") from None
        self._body = WatchedBody(cast(httpx2.AsyncByteStream, self._response.stream), self._read_timeout_s, self._clock)
        self._response.stream = self._body
        if self._response.status_code != httpx2.codes.OK:
            await self._response.aread()
            await self._raise_error(self._response)
        # Event streams are always UTF-8. The codec `utf-8-sig` also skips a byte order mark at the start.
        self._response.encoding = "utf-8-sig"
        self._sse_events = aiter(httpx2.EventSource(self._response))
        return self._sse_events

    async def _query_parameters(self, headers: Mapping[str, str]) -> Mapping[str, str]:
        """Return the query parameters of the request.

        If the parameters are too long for a URL, store the subscription on the server. The returned parameters then
        contain the id of the stored subscription.
        """
        if sum(map(len, self._parameters.values())) <= _MAX_QUERY_BYTES:
            return self._parameters
        subscription = {name: value for name, value in self._parameters.items() if name in _SUBSCRIPTION_PARAMETERS}
        response = await self._client.post(
            self._url.removesuffix("/stream") + "/subscriptions",
            json=subscription,
            headers=headers,
            timeout=CONNECT_TIMEOUT_S,
        )
        if response.status_code != httpx2.codes.CREATED:
            await self._raise_error(response)
        others = {name: value for name, value in self._parameters.items() if name not in _SUBSCRIPTION_PARAMETERS}
        return {**others, "subscription": decode_json(response.content, dict[str, Any])["id"]}

    async def _raise_error(self, response: httpx2.Response) -> NoReturn:
        failure = ErrorResponse(response)
        if response.status_code == httpx2.codes.NO_CONTENT:
            await self._close_response()
            text = f"{redact_address(self._url)} has ended this stream: an operator or the user evicted it"
            raise StreamEnded(text, reason=self._last_reason)
        if not failure.is_temporary:
            await self._close_response()
            raise failure.to_error()
        raise _TemporaryFailure(str(failure), failure.retry_after)

    async def _prepare_reconnect(self, reason: str, *, connect_failed: bool = False) -> None:
        """Close the connection, and set the wait before the next connection.

        If several connection attempts in a row fail, log the first failure at level WARNING and the following failures
        at level INFO.
        """
        await self._close_response()
        wait = self._backoff.next_wait()
        self._retry_delay_s = self._retry_delay_s or wait
        if self._attempts is not None and self._backoff.failures >= self._attempts:
            raise ClientError(f"cannot read a stream from {self._url}: {reason}")
        reason = f"{reason}; retry in {self._retry_delay_s:.1f} s"
        level = logging.WARNING if connect_failed and not self._is_failure_logged else logging.INFO
        log.log(level, "%s: %s", redact_address(self._url), redact_urls(reason))
        self._is_failure_logged |= connect_failed
        self._set_state("connecting", reason)

    async def _close_response(self) -> None:
        response, self._response, self._body, self._sse_events = self._response, None, None, None
        if response is not None:
            await response.aclose()

    def _set_state(self, state: StreamState, reason: str) -> None:
        if (state, reason) != (self.state, "") and self._on_state is not None:
            self._on_state(state, reason)
        self.state = state


class _TemporaryFailure(httpx2.TransportError):
    """An error response after which a retry may succeed."""

    def __init__(self, reason: str, retry_after: float | None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


def connect(
    url: str,
    symbols: Iterable[str] | str = ("*",),
    *,
    events: Iterable[str] | str | None = None,
    filter: str | None = None,  # noqa: A002  # the name of the query parameter
    order: str | None = None,
    top: int | None = None,
    candles: str | None = None,
    fields: Iterable[str] | str | None = None,
    interval: str | float | None = None,
    delivery: Literal["latest", "all"] = "latest",
    heartbeats: Literal["comment", "event"] = "comment",
    snapshot: bool = True,
    since: str | None = None,
    client_id: str | None = None,
    last_event_id: str | None = None,
    headers: Mapping[str, str] | None = None,
    token: AsyncTokenSource = None,
    attempts: int | None = None,
    on_state: Callable[[StreamState, str], None] | None = None,
) -> Stream:
    """Return a stream from the server at `url`, such as http://127.0.0.1:8000.

    The parameters have the same meaning as the parameters of `GET /v1/stream`. Instead of a list, you can pass a
    comma-separated string. With `heartbeats="event"`, `next_event` also returns the heartbeats of the server, so that a
    program can recognize that the connection still works while the market is quiet. `interval` is a number of seconds,
    or a string such as "250ms". If `token` is a function, the stream calls the function before each connection, so that
    an expired token can be replaced. `attempts` limits the number of failures in a row; None sets no limit.

    The stream calls `on_state` with each new state (`connecting`, `live` or `closed`) and its reason, or "".
    """
    parameters = {"symbols": _join_list(symbols), "delivery": delivery}
    lists = {"events": events, "fields": fields}
    parameters |= {name: _join_list(values) for name, values in lists.items() if values is not None}
    interval_text = _format_interval(interval) if isinstance(interval, int | float) else interval
    optional = {"filter": filter, "order": order, "top": None if top is None else str(top), "candles": candles}
    optional |= {"interval": interval_text, "since": since, "client_id": client_id}
    # Send the parameter `heartbeats` only if it differs from the default, because earlier servers do not know it.
    optional |= {"heartbeats": heartbeats if heartbeats == "event" else None, "snapshot": None if snapshot else "false"}
    parameters |= {name: value for name, value in optional.items() if value is not None}
    return Stream(
        url,
        parameters,
        last_event_id=last_event_id,
        headers=headers,
        token=token,
        attempts=attempts,
        on_state=on_state,
    )


def _join_list(values: Iterable[str] | str) -> str:
    """Return a list as a comma-separated string. Return a string unchanged."""
    return values if isinstance(values, str) else ",".join(values)


def _format_interval(seconds: float) -> str:
    """Return a number of seconds in the format of the stream parameter `interval`, such as 250ms."""
    return f"{max(1, round(seconds * 1000))}ms" if seconds else "0"


def _describe_error(error: httpx2.RequestError) -> str:
    return str(error) or type(error).__name__
