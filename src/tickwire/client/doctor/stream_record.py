"""Open a stream, and record when its parts arrive."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import httpx2
import msgspec

from tickwire.core.codec import decode_json

STREAM_PATH = "/v1/stream"
# No price ever arrives for this symbol, so the stream contains only `welcome` and heartbeats.
_PARAMETERS = {"symbols": "TICKWIRE-DOCTOR"}
_HEARTBEAT_PREFIX = ": hb "
# The maximum lateness of a heartbeat, in seconds. The server checks once a second for silent streams, and counts the
# silence of a new stream from the second check.
MAX_HEARTBEAT_LATENESS_S = 2.5
# The doctor watches a stream for the sum of three times: two heartbeat intervals, the maximum lateness of a heartbeat,
# and this time. The second heartbeat then arrives even on a busy machine.
_WATCH_MARGIN_S = 0.5
# The maximum number of characters that the doctor reads from the body of an error response.
_MAX_BODY_CHARS = 64_000


class HeartbeatArrival(NamedTuple):
    """The time at which a heartbeat arrived, by this machine's clock, and the time at which it left the server, by the
    server's clock. Both times are in microseconds since the Unix epoch."""

    arrived_at: int
    sent_at: int


class StreamRecord:
    """The received parts of one stream. Times are in seconds since the request. The time of a part that did not arrive
    is None."""

    def __init__(self) -> None:
        self.status = 0
        self.http_version = ""
        self.headers: list[tuple[str, str]] = []
        self.head_after_s: float | None = None
        self.welcome: dict[str, Any] | None = None
        self.welcome_after_s: float | None = None
        self.heartbeats: list[HeartbeatArrival] = []
        self.last_byte_after_s: float | None = None
        self.ended_after_s: float | None = None
        self.bye: dict[str, Any] | None = None
        self.failure = ""
        self.is_undecodable = False
        # How long the stream was open.
        self.watched_s = 0.0
        self.body = ""
        self._started_at = time.monotonic()
        self._text = ""

    @property
    def age_s(self) -> float:
        """The seconds since the request."""
        return time.monotonic() - self._started_at

    @property
    def is_event_stream(self) -> bool:
        return self.status == 200 and self.header("content-type").startswith("text/event-stream")

    @property
    def heartbeat_s(self) -> float:
        """The interval of heartbeats, from the `welcome` event."""
        return float((self.welcome or {}).get("heartbeat", 0))

    def end_watch(self, deadline: float | None) -> None:
        """Record how long the stream was watched. `deadline` is the end of the watch by the monotonic clock.

        Use the deadline instead of a later moment: a stream that waited for this one may have started in between.
        """
        end = time.monotonic() if deadline is None else min(deadline, time.monotonic())
        self.watched_s = end - self._started_at

    def header(self, name: str) -> str:
        """Return the first value of a response header, or an empty string. `name` must be lower case."""
        return next(iter(self.header_values(name)), "")

    def header_values(self, name: str) -> list[str]:
        """Return all values of a response header. `name` must be lower case."""
        return [value for key, value in self.headers if key.lower() == name]

    def add_head(self, response: httpx2.Response) -> None:
        """Record the head of the response."""
        self.head_after_s = self.age_s
        self.status, self.http_version = response.status_code, response.http_version
        self.headers = response.headers.multi_items()

    def add_text(self, text: str) -> None:
        """Record the next part of the decoded body."""
        self.last_byte_after_s = self.age_s
        *events, self._text = (self._text + text.replace("\r\n", "\n")).split("\n\n")
        for event in events:
            self._add_event(event)

    def _add_event(self, event: str) -> None:
        if event.startswith(_HEARTBEAT_PREFIX):
            sent_at = event.removeprefix(_HEARTBEAT_PREFIX).split(" ")[0]
            if sent_at.isdigit():
                self.heartbeats.append(HeartbeatArrival(time.time_ns() // 1000, int(sent_at)))
            return
        lines = event.split("\n")
        data = "\n".join(line.removeprefix("data:").strip() for line in lines if line.startswith("data:"))
        if "event: welcome" in lines:
            self.welcome, self.welcome_after_s = _decode_object(data), self.age_s
        elif "event: bye" in lines:
            self.bye = _decode_object(data)


def default_watch_s(heartbeat_s: float) -> float:
    """Return how many seconds the doctor watches a stream. In this time, two heartbeats must arrive."""
    return 2 * heartbeat_s + MAX_HEARTBEAT_LATENESS_S + _WATCH_MARGIN_S


async def record_stream(
    client: httpx2.AsyncClient,
    base_url: str,
    headers: Mapping[str, str],
    *,
    answer_timeout_s: float,
    watch_s: float | None,
) -> StreamRecord:
    """Open a stream, watch it, and return a record of all received parts.

    Wait at most `answer_timeout_s` for the `welcome` event. Then watch the stream for `watch_s`. If `watch_s` is None,
    watch it for the time that `default_watch_s` returns.
    """
    record = StreamRecord()
    request_headers = {"accept": "text/event-stream", "cache-control": "no-store", **headers}
    deadline = asyncio.timeout(answer_timeout_s)
    try:
        async with (
            deadline,
            client.stream("GET", base_url + STREAM_PATH, params=_PARAMETERS, headers=request_headers) as response,
        ):
            record.add_head(response)
            if not record.is_event_stream:
                await _read_body(response, record)
                return record
            async for text in response.aiter_text():
                had_welcome = record.welcome is not None
                record.add_text(text)
                if not had_welcome and record.welcome is not None:
                    seconds = default_watch_s(record.heartbeat_s) if watch_s is None else watch_s
                    deadline.reschedule(asyncio.get_running_loop().time() + seconds)
        record.ended_after_s = record.age_s
    except TimeoutError:
        # The watch has reached its time limit, and the stream is still open. This is the normal case.
        pass
    except httpx2.DecodingError as error:
        record.is_undecodable, record.failure = True, str(error)
    except httpx2.TransportError as error:
        record.ended_after_s, record.failure = record.age_s, str(error) or type(error).__name__
    finally:
        record.end_watch(deadline.when())
    return record


async def _read_body(response: httpx2.Response, record: StreamRecord) -> None:
    async for text in response.aiter_text():
        record.body += text
        if len(record.body) >= _MAX_BODY_CHARS:
            return


def decode_problem(body: str) -> dict[str, Any] | None:
    """Return the problem details (RFC 9457) in the body of a Tickwire server's error response, or None."""
    problem = _decode_object(body)
    return problem if problem is not None and problem.keys() >= {"status", "detail"} else None


def _decode_object(text: str) -> dict[str, Any] | None:
    try:
        return decode_json(text, dict[str, Any])
    except (msgspec.DecodeError, msgspec.ValidationError):
        return None
