"""The interface of a vendor's protocol, without the connection.

Each vendor's module contains a `Vendor` and a session class. The `Vendor` declares the feed. The session class encodes
and decodes the messages of one connection, and performs no input or output. `WebSocketFeed` connects, reconnects and
passes each message to a session.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

from tickwire.core.correction import LEAST_SIZE, TradeCorrection
from tickwire.core.tick import EMPTY_SIDE, NOT_REPORTED
from tickwire.errors import TickwireError
from tickwire.market.dirty_ticks import DirtyTick, DirtyTickCounter
from tickwire.market.published_trades import LATE_NS
from tickwire.market.sale_conditions import FULL_EFFECT, SaleEffect

# A vendor may send a trade twice after a reconnect. To detect the repetition, the feed remembers this number of trades
# of each symbol. The largest snapshot that a vendor sends after a reconnect has 50 trades.
MAX_REMEMBERED_TRADES = 256

TickRow = tuple[bytes, int, float, float, float, float, float, float, float]
"""A tick with the fields of `TICK_DTYPE` in order."""

Side = tuple[float, float]
"""The price and the size of one side of the book."""

_EMPTY: Side = (EMPTY_SIDE, EMPTY_SIDE)


class Credentials(NamedTuple):
    """The key and the secret of an account at a vendor. Both are empty for a vendor that requires no account."""

    key: str = ""
    secret: str = ""

    def __repr__(self) -> str:
        """Return a text without the secret, because tracebacks and logs may contain this text."""
        return "Credentials(***)"


class VendorError(TickwireError):
    """The vendor rejected the login or the subscription, or reported another error. The feed reconnects later."""


class RememberedTrade(NamedTuple):
    """The time (in nanoseconds since the Unix epoch), the price and the size of a trade.

    If the trade's sale conditions exclude its price from quotes, the price is NaN. If they exclude its size, the size
    is 0.
    """

    ts: int
    price: float
    size: float


class RecentTrades:
    """The newest trades of each symbol. A feed uses these trades to recognize repeated trades and to correct a
    trade."""

    def __init__(self) -> None:
        # The oldest trade of a symbol is first.
        self._trades: dict[bytes, dict[object, RememberedTrade]] = {}

    def add(self, symbol: bytes, number: object, trade: RememberedTrade) -> bool:
        """Remember a trade. Return False if the trade is already known."""
        trades = self._trades.setdefault(symbol, {})
        if number in trades:
            return False
        trades[number] = trade
        if len(trades) > MAX_REMEMBERED_TRADES:
            del trades[next(iter(trades))]
        return True

    def remove(self, symbol: bytes, number: object) -> RememberedTrade | None:
        """Forget a trade, and return it. Return None if the trade is not known."""
        return self._trades.get(symbol, {}).pop(number, None)

    def newest(self, symbol: bytes) -> RememberedTrade | None:
        """Return the symbol's trade with the latest time, or None if no trade with a price is known."""
        priced = (trade for trade in self._trades.get(symbol, {}).values() if not math.isnan(trade.price))
        return max(priced, key=lambda trade: trade.ts, default=None)

    def has_trades_of(self, symbol: bytes) -> bool:
        """Return whether the feed has seen a trade of the symbol."""
        return symbol in self._trades


class SessionOutput:
    """The decoded content of the messages that a session has received, until `WebSocketFeed` reads it.

    `rows` are ticks. `corrections` are the corrected trades, which `rows` contains too. `trading_changes` contains
    pairs: a symbol, and True if it starts trading or False if it stops. `replies` are messages to send. `can_subscribe`
    is True when the vendor accepts subscriptions, for example after a login. `is_subscribed` is True as soon as the
    vendor has accepted a subscription. `rejected` contains the requested symbols that the vendor does not know.
    `warnings` are errors of the vendor that do not end the connection. If `applies_conditions` is True, the session
    applies the rules for the sale conditions of trades.
    """

    def __init__(
        self,
        symbols: Mapping[str, str],
        trades: RecentTrades,
        dirty_ticks: DirtyTickCounter,
        *,
        applies_conditions: bool = False,
    ) -> None:
        """`symbols` maps each symbol of the vendor to the symbol on the board. The mapping may change later."""
        self.applies_conditions = applies_conditions
        self.rows: list[TickRow] = []
        self.trading_changes: list[tuple[str, bool]] = []
        self.corrections: list[TradeCorrection] = []
        self.replies: list[str] = []
        self.warnings: list[str] = []
        self.can_subscribe = True
        self.is_subscribed = False
        self.rejected: set[str] = set()
        self._symbols = symbols
        self._trades = trades
        self._dirty_ticks = dirty_ticks

    def add_trade(
        self,
        symbol: str,
        ts: int,
        price: float,
        size: float,
        number: object,
        *,
        is_history: bool = False,
        effect: SaleEffect = FULL_EFFECT,
    ) -> None:
        """Add a trade, unless the feed has sent the trade before.

        `number` identifies the trade among the trades of the symbol. `effect` states which values of the quote the
        trade may change.

        `is_history` means that the trade may be older than the connection. The journal may then already contain the
        trade. So if the feed has seen no trade of the symbol yet, the method adds the trade without its size.
        """
        name = self._find_name(symbol)
        if name is None:
            return
        if math.isnan(price) or not size >= 0.0:
            self._dirty_ticks.add(DirtyTick.NOT_A_NUMBER, 1)
            return
        is_first = is_history and not self._trades.has_trades_of(name)
        trade = RememberedTrade(ts, price, size)
        if effect is not FULL_EFFECT:
            trade = self._restrict(name, trade, effect)
        if not self._trades.add(name, number, trade):
            # A vendor repeats historical trades after every reconnect. Count only other repetitions as dirty ticks.
            if not is_history:
                self._dirty_ticks.add(DirtyTick.DUPLICATE, 1)
            return
        if effect is not FULL_EFFECT:
            self._dirty_ticks.add(DirtyTick.CONDITION, 1)
        self._add_trade_row(name, trade._replace(size=NOT_REPORTED) if is_first else trade)

    def correct_trade(
        self,
        symbol: str,
        number: object,
        reported: RememberedTrade,
        corrected: tuple[object, RememberedTrade] | None = None,
        *,
        effect: SaleEffect = FULL_EFFECT,
    ) -> None:
        """Withdraw the trade with this number. If `corrected` is not None, add the corrected trade in its place.

        `reported` is the trade as the vendor describes it. If the feed remembers the trade, the ticks have the
        remembered time, because some vendors report the time of the correction. `corrected` is a pair: the new number,
        and the corrected trade. `effect` states which values of the quote the corrected trade may change.
        """
        name = self._find_name(symbol)
        if name is None:
            return
        wrong = self._trades.remove(name, number)
        ts, price, size = reported._replace(ts=wrong.ts) if wrong else reported
        withdrawn = wrong or reported
        if withdrawn.size or not math.isnan(withdrawn.price):
            self._add_trade_row(name, withdrawn._replace(size=-max(withdrawn.size, LEAST_SIZE)))
        right = None if corrected is None else corrected[1]
        trade = None if right is None else right._replace(ts=ts)
        if trade is not None and effect is not FULL_EFFECT:
            trade = self._restrict(name, trade, effect)
        if wrong is not None and not math.isnan(wrong.price) and (trade is None or math.isnan(trade.price)):
            newest = self._trades.newest(name)
            if newest is not None and newest.ts <= ts:
                # The withdrawn trade was the newest trade, so the price of the previous trade becomes the last price
                # again.
                self._add_trade_row(name, RememberedTrade(ts, newest.price, NOT_REPORTED))
        if corrected is not None and trade is not None:
            self._trades.add(name, corrected[0], trade)
            self._add_trade_row(name, trade)
        self.corrections.append(
            TradeCorrection(
                symbol=name.decode("ascii"),
                ts=ts // 1000,
                last=price,
                size=size,
                corrected_last=None if right is None else right.price,
                corrected_size=None if right is None else right.size,
            )
        )

    def add_book(self, symbol: str, ts: int, bid: Side, ask: Side) -> None:
        """Add the best bid and ask. A price of 0 means that this side of the book is empty."""
        name = self._find_name(symbol)
        if name is None:
            return
        if math.isnan(bid[0]) or math.isnan(ask[0]):
            self._dirty_ticks.add(DirtyTick.NOT_A_NUMBER, 1)
        bid_price, bid_size = _EMPTY if bid[0] == 0.0 else bid
        ask_price, ask_size = _EMPTY if ask[0] == 0.0 else ask
        missing = NOT_REPORTED
        self.rows.append((name, ts, missing, bid_price, ask_price, bid_size, ask_size, missing, missing))

    def set_trading(self, symbol: str, *, is_trading: bool) -> None:
        """Report that a symbol starts or stops trading."""
        if symbol in self._symbols:
            self.trading_changes.append((self._symbols[symbol], is_trading))

    def count_dirty(self, kind: DirtyTick) -> None:
        """Count a dirty tick or message."""
        self._dirty_ticks.add(kind, 1)

    def _restrict(self, name: bytes, trade: RememberedTrade, effect: SaleEffect) -> RememberedTrade:
        """Return the trade without the price or the size that its sale conditions exclude from the quote.

        A trade that may change the high and low, but not the last price, becomes a late trade: its time is set to a
        time before the newest trade. If the symbol has no other trade, this trade changes the last price, too.
        """
        newest = self._trades.newest(name) if effect.range and not effect.last else None
        return RememberedTrade(
            trade.ts if newest is None else min(trade.ts, newest.ts - LATE_NS),
            trade.price if effect.range else NOT_REPORTED,
            trade.size if effect.volume else 0.0,
        )

    def _add_trade_row(self, name: bytes, trade: RememberedTrade) -> None:
        if trade.size or not math.isnan(trade.price):
            missing = NOT_REPORTED
            self.rows.append((name, trade.ts, trade.price, missing, missing, missing, missing, trade.size, missing))

    def _find_name(self, symbol: str) -> bytes | None:
        """Return the symbol on the board. If the feed has not subscribed to it, return None and count a dirty tick."""
        name = self._symbols.get(symbol)
        if name is None:
            self._dirty_ticks.add(DirtyTick.WRONG_SYMBOL, 1)
            return None
        return name.encode("ascii")


class VendorSession(Protocol):
    """The protocol of one connection. Each connection has a new session."""

    def open(self) -> Sequence[str]:
        """Return the messages to send at the start of the connection."""
        ...

    def subscribe(self, symbols: Sequence[str]) -> Sequence[str]:
        """Return the messages that subscribe to symbols."""
        ...

    def unsubscribe(self, symbols: Sequence[str]) -> Sequence[str]:
        """Return the messages that end the subscriptions to symbols."""
        ...

    def receive(self, message: bytes, now: int) -> None:
        """Decode a message that arrived at the time `now`, in nanoseconds, and add its content to the output.

        Raise VendorError if the vendor reports an error that ends the connection, and msgspec.DecodeError if the
        message is not valid.
        """
        ...


class Vendor(NamedTuple):
    """The declaration of a vendor's protocol.

    `url` is the default address of the vendor. A setting can replace this address. If no message, such as a heartbeat,
    arrives for `max_silence_s` seconds, the feed considers the connection dead. `max_symbols` is the vendor's limit for
    one connection. A request lists at most `max_symbols_per_request` symbols. `is_always_open` is True if the vendor's
    market never closes. If `lists_symbols` is False, the source itself determines the symbols. The feed waits for
    `request_interval_s` seconds after each request, because vendors limit the rate of requests.
    """

    name: str
    url: str
    max_silence_s: float
    max_symbols: int
    open_session: Callable[[Credentials, SessionOutput], VendorSession]
    needs_credentials: bool = False
    lists_symbols: bool = True
    max_symbols_per_request: int = 100
    is_always_open: bool = False
    request_interval_s: float = 0.02


def to_nanoseconds(moment: datetime) -> int:
    """Convert a timezone-aware time to nanoseconds since the Unix epoch, rounded to microseconds."""
    return round(moment.timestamp() * 1e6) * 1000
