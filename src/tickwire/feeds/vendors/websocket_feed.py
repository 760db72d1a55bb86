"""A feed that reads the messages of a vendor over a WebSocket, and reconnects when the connection ends."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import random
from collections.abc import AsyncIterator, Sequence, Set
from functools import partial
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from tickwire.clock import Clock
from tickwire.core.correction import TradeCorrection
from tickwire.core.instrument import Instrument
from tickwire.core.tick import TICK_DTYPE, blank_ticks
from tickwire.core.timestamps import format_moment
from tickwire.errors import InputError
from tickwire.feeds.base import ConnectionState, FeedBatch, FeedConnection, FeedMode, FeedNotice, FeedPart
from tickwire.feeds.feed_kind import FeedKind, FeedOptions, MarketState
from tickwire.feeds.vendors.clean_ticks import drop_invalid_ticks
from tickwire.feeds.vendors.subscribed_symbols import SubscribedSymbols, board_symbol, parse_symbols
from tickwire.feeds.vendors.vendor import RecentTrades, SessionOutput, TickRow, Vendor, VendorError, VendorSession
from tickwire.market.dirty_ticks import DirtyTick, DirtyTickCounter
from tickwire.redaction import redact_urls

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

    from tickwire.feeds.vendors.message_connection import MessageConnection

log = logging.getLogger(__name__)
# Use a separate logger with the level WARNING for the library websockets. At the level DEBUG, the library logs the
# content of all messages, including the login.
_connection_log = log.getChild("connection")
_connection_log.setLevel(logging.WARNING)

# The pause before a reconnect is random. Its upper limit begins at FIRST_BACKOFF_S and doubles with each failure, up to
# MAX_BACKOFF_S ("full jitter": https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).
FIRST_BACKOFF_S, MAX_BACKOFF_S = 1.0, 60.0
# With this number of pending ticks, the feed stops reading from the connection until the journal accepts ticks.
MAX_PENDING_TICKS = 10_000
# The interval at which the feed checks for a silent connection.
_SILENCE_CHECK_S = 1.0
_CLOSE_TIMEOUT_S = 1.0
# The maximum length of a vendor's text in logs and notices.
_MAX_REASON_CHARS = 200


class WebSocketFeed:
    """The feed of one vendor and a list of symbols. If the list is empty, the feed follows the demand of readers.

    The feed cannot resume after a batch, because a vendor sends no past prices. After a lost connection, the feed
    connects again, subscribes again, and reports the period without prices as a notice. `holes` counts these periods.
    `dirty_ticks` counts the messages and ticks that the feed dropped.
    """

    mode: FeedMode = "live"

    def __init__(self, vendor: Vendor, symbols: Sequence[str], options: FeedOptions, clock: Clock) -> None:
        """Raise InputError if the vendor requires credentials and `options` has none, or if a package is missing."""
        if vendor.needs_credentials and not (options.credentials.key and options.credentials.secret):
            raise InputError(
                f"the feed {vendor.name} requires the key and the secret of an account: set TICKWIRE_FEED_KEY and "
                "TICKWIRE_FEED_SECRET, or --feed-key-file",
                field="feed_key",
            )
        if importlib.util.find_spec("websockets") is None:
            raise InputError(
                f"the feed {vendor.name} needs the websockets package",
                field="feed",
                hint="pip install 'tickwire[feeds]'",
            )
        self.name = vendor.name
        self.holes = self._message_count = self._connection_count = 0
        self.dirty_ticks = DirtyTickCounter()
        self._vendor = vendor
        self._symbols = SubscribedSymbols(vendor, symbols, is_distinct=options.distinct_symbols)
        self._credentials = options.credentials
        self._applies_conditions = options.applies_conditions
        self._url = options.urls.get(vendor.name) or vendor.url
        self._clock = clock
        self._state = FeedConnection(ConnectionState.CONNECTING)
        self._trades = RecentTrades()
        self._failures = 0
        # The monotonic time of the newest message, and the wall-clock time at which the previous connection ended.
        self._last_message_s: float | None = None
        self._last_tick_s: float | None = None
        self._lost_at_ns: int | None = None
        self._pending: list[TickRow] = []
        # The list may contain several mappings. If a symbol halts and resumes at once, the two changes are in two
        # mappings, so that readers receive both changes.
        self._trading_changes: list[dict[str, bool]] = []
        self._notices: list[FeedNotice] = []
        self._vendor_error: str | None = None
        self._corrections: list[TradeCorrection] = []
        # `_changed` is set when `batches` has something to return. `_has_room` is True while fewer than
        # MAX_PENDING_TICKS ticks wait.
        self._changed = asyncio.Event()
        self._has_room = True
        self._may_subscribe = asyncio.Event()
        self._has_replies = asyncio.Event()
        self._connection: MessageConnection | None = None

    @property
    def connection(self) -> FeedConnection:
        return self._state

    @property
    def parts(self) -> Sequence[FeedPart]:
        return [
            FeedPart(
                self.name,
                self._state,
                self._age_s(self._last_message_s),
                self._age_s(self._last_tick_s),
                self.holes,
                self.dirty_ticks,
                self._vendor.is_always_open,
                is_idle=not len(self._symbols),
                vendor_error=self._vendor_error,
                reconnects=max(0, self._connection_count - 1),
                messages=self._message_count,
            )
        ]

    @property
    def follows_demand(self) -> bool:
        return self._symbols.follows_demand

    def update_demand(self, wanted: Set[str]) -> None:
        self._symbols.update_demand(wanted, self._clock.monotonic())

    def _age_s(self, moment_s: float | None) -> float | None:
        return None if moment_s is None else self._clock.monotonic() - moment_s

    async def batches(self, after: str | None = None) -> AsyncIterator[FeedBatch]:
        """Return the vendor's ticks from now on. The feed cannot resume, so `after` has no effect."""
        del after
        self._pending.clear()
        self._make_room()
        connecting = asyncio.create_task(self._stay_connected())
        connecting.add_done_callback(lambda _: self._changed.set())
        try:
            while True:
                await self._changed.wait()
                self._changed.clear()
                if connecting.done():
                    # Before this iteration ends, the task ends only because of a bug. Raise the task's error.
                    connecting.result()
                for batch in self._collect_batches():
                    yield batch
        finally:
            connecting.cancel()
            await asyncio.gather(connecting, return_exceptions=True)

    def _collect_batches(self) -> list[FeedBatch]:
        """Return the pending ticks, changes and notices as batches. Make room for further ticks."""
        rows, changes, notices = self._pending, self._trading_changes, self._notices
        self._pending, self._trading_changes, self._notices = [], [], []
        corrections, self._corrections = self._corrections, []
        self._make_room()
        if rows:
            self._last_tick_s = self._clock.monotonic()
        ticks = drop_invalid_ticks(np.array(rows, TICK_DTYPE), self._clock.now(), self.dirty_ticks)
        batches = [FeedBatch(blank_ticks(0), notice=notice) for notice in notices]
        # Add an empty batch if there is nothing else to return. This batch reports that the state of the connection has
        # changed.
        if len(ticks) or changes or not (rows or notices):
            batches.append(FeedBatch(ticks, trading_changes=changes[0] if changes else {}, corrections=corrections))
        return batches + [FeedBatch(blank_ticks(0), trading_changes=change) for change in changes[1:]]

    def _make_room(self) -> None:
        """Resume reading from the connection after a pause."""
        self._has_room = True
        if self._connection is not None:
            self._connection.transport.resume_reading()

    async def _stay_connected(self) -> None:
        """Connect and read messages. Connect again after each failure."""
        while True:
            while not len(self._symbols):
                await self._symbols.changed.wait()
                self._symbols.changed.clear()
            started_at_s = self._clock.monotonic()
            try:
                await self._run_connection()
            except (OSError, VendorError, _websocket_error()) as error:
                if not len(self._symbols):
                    # The feed itself has closed the connection, because no reader wants a symbol.
                    self._report_idle()
                    continue
                self._report_loss(str(error) or type(error).__name__)
            # Only a long connection resets the number of failures, because a vendor may accept a connection and then
            # end it at once.
            if self._clock.monotonic() - started_at_s > MAX_BACKOFF_S:
                self._failures = 0
            self._failures += 1
            longest_s = min(MAX_BACKOFF_S, FIRST_BACKOFF_S * 2 ** min(self._failures - 1, 10))
            await self._clock.sleep(random.uniform(0.0, longest_s))  # noqa: S311  # spreads load

    async def _run_connection(self) -> None:
        """Run one connection until it ends. Raise an error that explains the end."""
        from websockets.asyncio.client import connect
        from websockets.exceptions import ConnectionClosedOK

        from tickwire.feeds.vendors.message_connection import MessageConnection

        output = self._create_output()
        session = self._vendor.open_session(self._credentials, output)
        # The vendor may send messages together with its handshake. So create the session before the connection opens.
        self._symbols.begin_connection()
        self._may_subscribe.clear()
        self._has_replies.clear()
        self._last_message_s = self._clock.monotonic()
        async with connect(
            self._url,
            close_timeout=_CLOSE_TIMEOUT_S,
            compression=None,
            logger=_connection_log,
            create_connection=partial(  # type: ignore[arg-type]  # any callable that returns a connection
                MessageConnection, partial(self._receive, session), partial(self._process_output, output)
            ),
        ) as connection:
            assert isinstance(connection, MessageConnection)  # noqa: S101  # created above
            self._connection = connection
            self._connection_count += 1
            self._last_message_s = self._clock.monotonic()
            for request in session.open():
                await connection.send(request)
            helpers = [
                asyncio.create_task(self._close_when_silent(connection)),
                asyncio.create_task(self._send_requests(connection, session, output)),
                asyncio.create_task(self._send_replies(connection, output)),
            ]
            for helper in helpers:
                helper.add_done_callback(partial(_abort_after_error, connection))
            try:
                await connection.wait_closed()
            finally:
                self._connection = None
                for helper in helpers:
                    helper.cancel()
                _raise_bugs(await asyncio.gather(*helpers, return_exceptions=True))
            if connection.failure is not None:
                raise connection.failure
            end = connection.protocol.close_exc
            if self._silence_reason() is None and not isinstance(end, ConnectionClosedOK):
                raise end
            raise VendorError(self._silence_reason() or "the vendor closed the connection")

    def _create_output(self) -> SessionOutput:
        return SessionOutput(
            self._symbols.names, self._trades, self.dirty_ticks, applies_conditions=self._applies_conditions
        )

    def _receive(self, session: VendorSession, message: bytes) -> None:
        """Decode a message."""
        self._last_message_s = self._clock.monotonic()
        self._message_count += 1
        try:
            session.receive(message, self._clock.now())
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            self.dirty_ticks.add(DirtyTick.UNREADABLE, 1)
            log.debug("the feed %s dropped a message: %s", self.name, error)

    def _process_output(self, output: SessionOutput) -> None:
        """Process the content of all messages that have arrived together."""
        if output.replies:
            self._has_replies.set()
        if output.can_subscribe and not self._may_subscribe.is_set():
            self._may_subscribe.set()
        if output.rejected:
            self._symbols.reject(output.rejected)
            output.rejected = set()
        if output.is_subscribed and self._state.state is not ConnectionState.CONNECTED:
            self._report_connection()
        self._collect(output)
        if len(self._pending) >= MAX_PENDING_TICKS and self._connection is not None:
            self._has_room = False
            self._connection.transport.pause_reading()

    def _collect(self, output: SessionOutput) -> None:
        """Move the decoded content of a message from `output` to the next batch."""
        for warning in output.warnings:
            self._vendor_error = warning[:_MAX_REASON_CHARS]
            log.warning("%s", self._vendor_error)
        output.warnings.clear()
        for symbol, is_trading in output.trading_changes:
            if not self._trading_changes or symbol in self._trading_changes[-1]:
                self._trading_changes.append({})
            self._trading_changes[-1][symbol] = is_trading
        output.trading_changes.clear()
        self._pending += output.rows
        output.rows.clear()
        self._corrections += output.corrections
        output.corrections.clear()
        if self._pending or self._trading_changes or self._notices:
            self._changed.set()

    async def _send_requests(self, connection: ClientConnection, session: VendorSession, output: SessionOutput) -> None:
        """Subscribe to the symbols as soon as the vendor allows it, and then send each change of the symbols."""
        if output.can_subscribe:
            self._may_subscribe.set()
        await self._may_subscribe.wait()
        while True:
            await self._symbols.changed.wait()
            if not len(self._symbols):
                connection.transport.abort()
                return
            for place, requests in enumerate(self._symbols.next_requests(session)):
                if place:
                    await self._clock.sleep(self._vendor.request_interval_s)
                for request in requests:
                    await connection.send(request)

    async def _send_replies(self, connection: ClientConnection, output: SessionOutput) -> None:
        """Send the session's replies to the vendor, such as a login."""
        while True:
            await self._has_replies.wait()
            self._has_replies.clear()
            while output.replies:
                await connection.send(output.replies.pop(0))

    async def _close_when_silent(self, connection: ClientConnection) -> None:
        """End the connection if no message arrives for too long, even if the connection still answers pings."""
        while not self._silence_reason():
            await self._clock.sleep(_SILENCE_CHECK_S)
            if not self._has_room:
                # The feed itself has paused reading, so the vendor has not caused the silence.
                self._last_message_s = self._clock.monotonic()
        connection.transport.abort()

    def _silence_reason(self) -> str | None:
        age_s = self._age_s(self._last_message_s) or 0.0
        limit_s = self._vendor.max_silence_s
        return f"no message arrived for {limit_s:g} s" if age_s > limit_s else None

    def _report_connection(self) -> None:
        """Report that prices arrive. After a lost connection, also report the period without prices."""
        self._state = FeedConnection(ConnectionState.CONNECTED)
        if self._lost_at_ns is not None:
            self.holes += 1
            begin, end = format_moment(self._lost_at_ns), format_moment(self._clock.now())
            text = f"the feed {self.name} was disconnected: prices between {begin} and {end} may be missing"
            log.warning("%s", text)
            self._notices.append(FeedNotice(text))
            self._lost_at_ns = None
        log.info("the feed %s is connected", self.name)
        self._changed.set()

    def _report_idle(self) -> None:
        """Report that the feed has no connection, because no reader wants a symbol."""
        self._state = FeedConnection(ConnectionState.CONNECTING)
        self._lost_at_ns = None
        self._failures = 0
        self._changed.set()

    def _report_loss(self, reason: str) -> None:
        reason = redact_urls(reason)[:_MAX_REASON_CHARS]
        if self._state.state is ConnectionState.CONNECTED:
            self._lost_at_ns = self._clock.now()
        if self._state != FeedConnection(ConnectionState.DISCONNECTED, reason):
            log.warning("the feed %s is disconnected: %s", self.name, reason)
            self._state = FeedConnection(ConnectionState.DISCONNECTED, reason)
            self._changed.set()


def _abort_after_error(connection: ClientConnection, helper: asyncio.Task[None]) -> None:
    """End the connection if a helper task has died. Otherwise the feed would wait for messages forever."""
    if not helper.cancelled() and helper.exception() is not None:
        connection.transport.abort()


def _raise_bugs(outcomes: Sequence[object]) -> None:
    """Raise the first unexpected exception in `outcomes`. The end of a connection and a cancellation are expected."""
    for outcome in outcomes:
        if isinstance(outcome, Exception) and not isinstance(outcome, (OSError, VendorError, _websocket_error())):
            raise outcome


def vendor_feed_kind(vendor: Vendor) -> FeedKind:
    """Return the declaration of a vendor's feed for the registry."""

    def open_feed(argument: str, options: FeedOptions, clock: Clock, _initial_state: MarketState) -> WebSocketFeed:
        return WebSocketFeed(vendor, parse_symbols(vendor, argument), options, clock)

    def instruments(argument: str, options: FeedOptions) -> tuple[Instrument, ...]:
        prefix = f"{vendor.name.upper()}:" if options.distinct_symbols else ""
        symbols = parse_symbols(vendor, argument)
        return tuple(Instrument(symbol=board_symbol(prefix, symbol), source=vendor.name) for symbol in symbols)

    return FeedKind(
        vendor.name,
        "live",
        open_feed,
        argument="SYMBOL,...",
        is_argument_optional=True,
        instruments=instruments,
        is_always_open=vendor.is_always_open,
        is_vendor=True,
    )


def _websocket_error() -> type[Exception]:
    # Import the library only here, because it is an optional dependency.
    from websockets.exceptions import WebSocketException

    return WebSocketException
