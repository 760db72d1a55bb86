"""A stream of quotes that mends itself: it reconnects by itself, and goes on exactly where it was."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import Any, Literal, NamedTuple, NoReturn

import httpx2

from tickwire.client.backoff import Backoff
from tickwire.client.refusal import Refusal, check_url
from tickwire.client.token import Token, bearer
from tickwire.clock import Clock, SystemClock
from tickwire.core.codec import decode
from tickwire.core.quote import Quote
from tickwire.errors import ClientError

CONNECT_SECONDS = 10.0
FIRST_SILENCE = 60.0  # seconds without a byte before a connection counts as dead, until the server says its heartbeat
SILENCE_HEARTBEATS = 2.5  # heartbeats that may stay away after that
_LONGEST_QUERY = 4_000  # bytes: what every proxy lets through
_SUBSCRIPTION = ("symbols", "filter", "events", "candles", "fields", "interval", "delivery")

State = Literal["connecting", "live", "closed"]

log = logging.getLogger(__name__)


class Event(NamedTuple):
    """One event; `name` is `quote` for those without a name of their own, `id` that of the newest event with one."""

    name: str
    text: str
    id: str

    @property
    def data(self) -> Any:
        """The JSON of its data."""
        return decode(self.text, object)


class Stream:
    """Quotes as they come. Use it in an `async with` (see `connect`), then `async for`.

    A lost connection is opened again after a while (exponential backoff with full jitter, or the time that the server
    asked for), with the last id, so that nothing is missed or repeated. What the server could not make good is counted
    in `gaps` and logged. ClientError where the server refuses for good, or after `attempts` failures in a row.

    Cancelling a wait for the next event loses nothing, but costs a reconnect.
    """

    def __init__(
        self,
        url: str,
        parameters: Mapping[str, str],
        *,
        last_event_id: str | None = None,
        headers: Mapping[str, str] | None = None,
        token: Token = None,
        attempts: int | None = None,
        on_state: Callable[[State, str], None] | None = None,
        clock: Clock | None = None,
        backoff: Backoff | None = None,
    ) -> None:
        self.last_event_id = last_event_id
        self.welcome: dict[str, Any] = {}
        self.state: State = "connecting"
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
        self._silence = FIRST_SILENCE
        self._pause = 0.0
        self._warned = False
        self._client = httpx2.AsyncClient()
        self._response: httpx2.Response | None = None
        self._source: AsyncIterator[httpx2.ServerSentEvent] | None = None

    async def __aenter__(self) -> Stream:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """End the stream; a second call does nothing."""
        await self._drop()
        await self._client.aclose()
        self._become("closed", "")

    def __aiter__(self) -> AsyncIterator[Quote]:
        return self

    async def __anext__(self) -> Quote:
        """The next quote; other events pass by."""
        while True:
            event = await self.next_event()
            if event.name == "quote":
                return decode(event.text, Quote)

    async def events(self) -> AsyncIterator[Event]:
        """All events, those with names of their own among them."""
        while True:
            yield await self.next_event()

    async def next_event(self) -> Event:
        """The next event of any kind."""
        while True:
            source = self._source or await self._open()
            try:
                sse = await anext(source)
            except StopAsyncIteration:
                await self._lost("the server ended the stream")
            except httpx2.TransportError as error:
                await self._lost(_words(error))
            else:
                return self._taken(sse)

    def _taken(self, sse: httpx2.ServerSentEvent) -> Event:
        event = Event("quote" if sse.event == "message" else sse.event, sse.data, sse.id)
        if sse.id:
            self.last_event_id = sse.id
        if sse.retry is not None:
            self._backoff.first = sse.retry / 1000
        if event.name == "welcome":
            self.welcome = event.data
            self._silence = SILENCE_HEARTBEATS * self.welcome["heartbeat"]
            self.connections += 1
            self._backoff.reset()
            self._warned = False
            self._become("live", "")
        elif event.name == "gap":
            self.gaps += 1
            log.warning("events were lost: %s", event.text)
        elif event.name == "bye":
            self._pause = event.data["reconnect_in_ms"] / 1000
        return event

    async def _open(self) -> AsyncIterator[httpx2.ServerSentEvent]:
        while True:
            self._become("connecting", "")
            await self._clock.sleep(self._pause)
            self._pause = 0.0
            try:
                return await self._request()
            except httpx2.TransportError as error:
                self._pause = getattr(error, "retry_after", None) or 0.0
                await self._lost(_words(error), failed=True)

    async def _request(self) -> AsyncIterator[httpx2.ServerSentEvent]:
        headers = {**self._headers, **bearer(self._token)}
        if self.last_event_id:
            headers["last-event-id"] = self.last_event_id
        timeout = httpx2.Timeout(CONNECT_SECONDS, read=self._silence)
        parameters = await self._short_parameters()
        request = self._client.build_request("GET", self._url, params=parameters, headers=headers, timeout=timeout)
        self._response = await self._client.send(request, stream=True)
        if self._response.status_code != httpx2.codes.OK:
            await self._response.aread()
            await self._refused(self._response)
        self._source = aiter(httpx2.EventSource(self._response))
        return self._source

    async def _short_parameters(self) -> Mapping[str, str]:
        """The parameters; with a watchlist too long for a URL, it is put down at the server and named instead."""
        if sum(map(len, self._parameters.values())) <= _LONGEST_QUERY:
            return self._parameters
        subscription = {name: value for name, value in self._parameters.items() if name in _SUBSCRIPTION}
        answer = await self._client.post(
            self._url.removesuffix("/stream") + "/subscriptions",
            json=subscription,
            headers={**self._headers, **bearer(self._token)},
            timeout=CONNECT_SECONDS,
        )
        if answer.status_code != httpx2.codes.CREATED:
            await self._refused(answer)
        rest = {name: value for name, value in self._parameters.items() if name not in _SUBSCRIPTION}
        return {**rest, "subscription": decode(answer.content, dict[str, Any])["id"]}

    async def _refused(self, response: httpx2.Response) -> NoReturn:
        refusal = Refusal(response)
        if not refusal.passing:
            await self._drop()
            raise refusal.error()
        raise _Passing(str(refusal), refusal.retry_after)

    async def _lost(self, why: str, *, failed: bool = False) -> None:
        """Get ready to connect anew; `failed` says that connecting did, of which the first in a row is a warning."""
        await self._drop()
        wait = self._backoff.next()
        self._pause = self._pause or wait
        if self._attempts is not None and self._backoff.failures >= self._attempts:
            raise ClientError(f"no stream from {self._url}: {why}")
        why = f"{why}; again in {self._pause:.1f} s"
        log.log(logging.WARNING if failed and not self._warned else logging.INFO, "%s: %s", self._url, why)
        self._warned |= failed
        self._become("connecting", why)

    async def _drop(self) -> None:
        response, self._response, self._source = self._response, None, None
        if response is not None:
            await response.aclose()

    def _become(self, state: State, why: str) -> None:
        if (state, why) != (self.state, "") and self._on_state is not None:
            self._on_state(state, why)
        self.state = state


class _Passing(httpx2.TransportError):
    """The server refused for now."""

    def __init__(self, why: str, retry_after: float | None) -> None:
        super().__init__(why)
        self.retry_after = retry_after


def connect(
    url: str,
    symbols: Iterable[str] | str = ("*",),
    *,
    events: Iterable[str] | str | None = None,
    filter: str | None = None,  # noqa: A002  # the parameter's name
    candles: str | None = None,
    fields: Iterable[str] | str | None = None,
    interval: str | float | None = None,
    delivery: Literal["latest", "all"] = "latest",
    snapshot: bool = True,
    since: str | None = None,
    client_id: str | None = None,
    last_event_id: str | None = None,
    headers: Mapping[str, str] | None = None,
    token: Token = None,
    attempts: int | None = None,
    on_state: Callable[[State, str], None] | None = None,
) -> Stream:
    """A stream from the server at `url`, such as http://127.0.0.1:8000. The parameters are those of `/v1/stream`.

    Lists may also be comma lists in one text; an interval is a text as there, or a number of seconds. `token` says who
    asks; give a function for tokens that expire: it is called with each connection, and a stream whose token has
    expired connects again. `attempts` bounds failures in a row (None: none); `on_state` hears `connecting` (and why),
    `live` and `closed`.
    """
    parameters = {"symbols": _comma(symbols), "delivery": delivery}
    if not snapshot:
        parameters["snapshot"] = "false"
    lists = {"events": events, "fields": fields}
    parameters |= {name: _comma(words) for name, words in lists.items() if words is not None}
    pace = _milliseconds(interval) if isinstance(interval, int | float) else interval
    named = {"filter": filter, "candles": candles, "interval": pace, "since": since, "client_id": client_id}
    parameters |= {name: value for name, value in named.items() if value is not None}
    return Stream(
        url,
        parameters,
        last_event_id=last_event_id,
        headers=headers,
        token=token,
        attempts=attempts,
        on_state=on_state,
    )


def _comma(words: Iterable[str] | str) -> str:
    """A comma list; a single text is one already."""
    return words if isinstance(words, str) else ",".join(words)


def _milliseconds(seconds: float) -> str:
    """As the server reads an interval."""
    return f"{max(1, round(seconds * 1000))}ms" if seconds else "0"


def _words(error: httpx2.TransportError) -> str:
    if isinstance(error, httpx2.ReadTimeout):
        return "nothing came for too long"
    return str(error) or type(error).__name__
