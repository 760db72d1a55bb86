"""The feed of any HTTP source of quotes: `poll:URL` with a mapping from paths to fields."""

from __future__ import annotations

import logging
import random
from collections.abc import AsyncIterator, Sequence, Set
from typing import Any

import httpx2
import msgspec
import numpy as np

from tickwire.clock import Clock
from tickwire.core.codec import decode_json
from tickwire.core.tick import TICK_DTYPE, blank_ticks
from tickwire.errors import InputError
from tickwire.feeds.base import ConnectionState, FeedBatch, FeedConnection, FeedMode, FeedPart
from tickwire.feeds.feed_kind import FeedKind, FeedOptions, MarketState
from tickwire.feeds.json_mapping import JsonMapping
from tickwire.feeds.vendors.clean_ticks import drop_invalid_ticks
from tickwire.market.dirty_ticks import DirtyTick, DirtyTickCounter
from tickwire.redaction import redact_urls

log = logging.getLogger(__name__)

_REQUEST_TIMEOUT_S = 10.0
MAX_BODY_BYTES = 16 * 2**20
# The maximum pause after failed requests. The pause is random ("full jitter"), and its upper limit doubles with each
# failure.
_MAX_BACKOFF_S = 60.0
_MAX_REASON_CHARS = 200


class PollFeed:
    """A feed that requests a JSON document of quotes at intervals, and reports the quotes that have changed.

    The feed cannot resume after a batch, because the source sends no past prices.
    """

    name = "poll"
    mode: FeedMode = "live"
    follows_demand = False

    def __init__(self, url: str, mapping: JsonMapping, interval_s: float, clock: Clock) -> None:
        self.connection = FeedConnection(ConnectionState.CONNECTING)
        self._url = url
        self._mapping = mapping
        self._interval_s = interval_s
        self._clock = clock
        self._failures = 0
        self._holes = self._reconnects = self._answers = 0
        self._dirty_ticks = DirtyTickCounter()
        self._last_answer_s: float | None = None
        self._last_tick_s: float | None = None
        # The newest values of each symbol. The feed sends a tick only if a value has changed.
        self._rows: dict[bytes, tuple[Any, ...]] = {}

    @property
    def parts(self) -> Sequence[FeedPart]:
        now_s = self._clock.monotonic()
        return [
            FeedPart(
                self.name,
                self.connection,
                None if self._last_answer_s is None else now_s - self._last_answer_s,
                None if self._last_tick_s is None else now_s - self._last_tick_s,
                self._holes,
                self._dirty_ticks,
                is_always_open=False,
                is_idle=False,
                reconnects=self._reconnects,
                messages=self._answers,
            )
        ]

    def update_demand(self, wanted: Set[str]) -> None:
        """Do nothing, because the source determines the symbols."""

    async def batches(self, after: str | None = None) -> AsyncIterator[FeedBatch]:
        """Return the changed quotes from now on. The feed cannot resume, so `after` has no effect."""
        del after
        async with httpx2.AsyncClient(timeout=_REQUEST_TIMEOUT_S) as client:
            while True:
                before = self.connection
                rows = await self._poll(client)
                ticks = drop_invalid_ticks(np.array(rows, TICK_DTYPE), self._clock.now(), self._dirty_ticks)
                if len(ticks):
                    self._last_tick_s = self._clock.monotonic()
                if len(ticks) or self.connection != before:
                    yield FeedBatch(ticks if len(ticks) else blank_ticks(0))
                await self._clock.sleep(self._pause_s())

    async def _poll(self, client: httpx2.AsyncClient) -> list[tuple[Any, ...]]:
        """Request the document once. Return the rows that have changed."""
        try:
            answer = await client.get(self._url)
            answer.raise_for_status()
            if len(answer.content) > MAX_BODY_BYTES:
                raise InputError(f"the document is larger than {MAX_BODY_BYTES // 2**20} MB")
            rows = [*self._mapping.rows(decode_json(answer.content, object), self._clock.now())]
        except (httpx2.HTTPError, InputError) as error:
            self._report_failure(str(error) or type(error).__name__)
            return []
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            self._dirty_ticks.add(DirtyTick.UNREADABLE, 1)
            self._report_failure(f"the document is not valid: {error}")
            return []
        self._failures = 0
        self._reconnects += self._last_answer_s is not None and self.connection.state is not ConnectionState.CONNECTED
        self._answers += 1
        self._last_answer_s = self._clock.monotonic()
        self.connection = FeedConnection(ConnectionState.CONNECTED)
        return [row for row in rows if self._is_changed(row)]

    def _is_changed(self, row: tuple[Any, ...]) -> bool:
        """Record the newest values of a symbol in `row`. Return True if they differ from the previous values.

        The time of arrival in `row` does not count as a value.
        """
        symbol, _, *numbers = row
        key = tuple("" if number != number else number for number in numbers)  # noqa: PLR0124  # NaN is equal to NaN here
        if self._rows.get(symbol) == key:
            return False
        self._rows[symbol] = key
        return True

    def _report_failure(self, reason: str) -> None:
        reason = redact_urls(reason)[:_MAX_REASON_CHARS]
        self._failures += 1
        if self.connection.state is ConnectionState.CONNECTED:
            self._holes += 1
        if self.connection != FeedConnection(ConnectionState.DISCONNECTED, reason):
            log.warning("the feed 'poll' is disconnected: %s", reason)
            self.connection = FeedConnection(ConnectionState.DISCONNECTED, reason)

    def _pause_s(self) -> float:
        if not self._failures:
            return self._interval_s
        longest_s = min(_MAX_BACKOFF_S, self._interval_s * 2 ** min(self._failures, 10))
        return max(self._interval_s, random.uniform(0.0, longest_s))  # noqa: S311  # spreads load


def _open_feed(argument: str, options: FeedOptions, clock: Clock, _initial_state: MarketState) -> PollFeed:
    if not argument.startswith(("http://", "https://")):
        raise InputError(
            f"invalid feed 'poll:{argument}': write an address such as poll:https://host/path", field="feed"
        )
    mapping = JsonMapping(options.recording_options.mapping, options.recording_options.symbol)
    return PollFeed(argument, mapping, options.poll_interval_s, clock)


FEED_KIND = FeedKind("poll", "live", _open_feed, argument="URL")
