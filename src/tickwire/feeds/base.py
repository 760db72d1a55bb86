"""The interface of a feed. A feed is a source of ticks, such as a simulation or a recording."""

from __future__ import annotations

import enum
from collections.abc import AsyncIterator, Mapping, Sequence, Set
from types import MappingProxyType
from typing import Literal, NamedTuple, Protocol, runtime_checkable

from tickwire.core.correction import TradeCorrection
from tickwire.core.tick import PackedTicks
from tickwire.market.dirty_ticks import DirtyTickCounter

FeedMode = Literal["simulated", "replay", "live"]
"""The label of a feed's prices. Clients see whether prices are simulated, replayed or live."""

END_OF_FEED_SUFFIX = ":end"
"""If the source of a feed has an end, the key of the last batch has this suffix. No other batch has a key with this
suffix."""


class ConnectionState(enum.Enum):
    """The state of a feed's connection to its source."""

    CONNECTING = "connecting"
    """The feed has not reached its source yet."""

    CONNECTED = "connected"
    """The source can send ticks. A local source is connected from the start, even while it is paused."""

    DISCONNECTED = "disconnected"
    """The source is unavailable. The feed retries, or it raises the error from `batches`."""

    ENDED = "ended"
    """The source has no more ticks. Only a playback command makes the feed continue."""


class FeedConnection(NamedTuple):
    """The state of a feed's connection.

    `reason` explains the state DISCONNECTED, and the state ENDED after an unexpected end. Otherwise, `reason` is None.
    """

    state: ConnectionState
    reason: str | None = None


class FeedNotice(NamedTuple):
    """A message to all readers about the source, such as a report of a period without prices.

    All readers see `text`. Only admins see `detail`, which may contain text from the source.
    """

    text: str
    detail: str | None = None


class FeedBatch(NamedTuple):
    """A batch of ticks in order.

    `key` is the position of the feed after the batch. `Feed.batches(after=key)` continues from this position. `key` is
    None if the feed cannot resume. `trading_changes` maps each symbol that starts trading with this batch to True, and
    each symbol that stops trading to False. Readers receive `notice` as a status event, and each item of `corrections`
    as an event of its own. `ticks` already contains the corrections. If the feed can resume, `correction_keys` contains
    a key for each correction. The key is the same after a restart, even if the feed divides its ticks into other
    batches.
    """

    ticks: PackedTicks
    key: str | None = None
    trading_changes: Mapping[str, bool] = MappingProxyType({})
    notice: FeedNotice | None = None
    corrections: Sequence[TradeCorrection] = ()
    correction_keys: Sequence[str] = ()


class Feed(Protocol):
    """A source of ticks. A feed does not know its consumer.

    The tests in `tickwire.testing.feed_contract.FeedContract` check the rules of this interface for every feed.
    """

    @property
    def name(self) -> str:
        """The name of the feed in status events and logs."""
        ...

    @property
    def mode(self) -> FeedMode:
        """The label of the feed's prices for readers: live, simulated or replayed."""
        ...

    @property
    def connection(self) -> FeedConnection:
        """The state that the feed's connection to its source had when the feed yielded the newest batch."""
        ...

    def batches(self, after: str | None = None) -> AsyncIterator[FeedBatch]:
        """Return the batches of the feed that follow the batch with the key `after`.

        Without `after`, return all batches of the feed.

        The feed releases batches at its own pace, and prepares a batch only when the consumer requests this batch. A
        batch without ticks reports that symbols start or stop trading, contains a notice, or reports that `connection`
        has changed.

        The ticks of a symbol are in time order, unless a recording's rows or a vendor's messages are out of order. A
        feed that goes back to an earlier time first resets its symbols (see `tickwire.core.tick.reset_ticks`). No two
        batches have the same key. Cancelling the iteration closes the source. If the source fails permanently, raise
        TickwireError. The state of `connection` is then DISCONNECTED, and its reason is the message of the error.
        """
        ...


class FeedPart(NamedTuple):
    """The state of one connection of a feed to another computer.

    `last_message_age_s` is the time in seconds since the newest message, such as a heartbeat, or None before the first
    message. `last_tick_age_s` is the time in seconds since the newest tick; None means no tick. `holes` counts the
    periods without prices. `dirty_ticks` counts the messages and ticks that the feed dropped. `is_always_open` is True
    if the market of the part never closes. `is_idle` is True if the part has no subscriptions, because no reader wants
    a symbol. `vendor_error` is the vendor's newest error that did not end the connection. `reconnects` counts the
    connections after the first, and `messages` the received messages.
    """

    name: str
    connection: FeedConnection
    last_message_age_s: float | None
    last_tick_age_s: float | None
    holes: int
    dirty_ticks: DirtyTickCounter
    is_always_open: bool
    is_idle: bool
    vendor_error: str | None = None
    reconnects: int = 0
    messages: int = 0


@runtime_checkable
class RemoteFeed(Feed, Protocol):
    """A feed whose sources are other computers."""

    @property
    def parts(self) -> Sequence[FeedPart]:
        """The state of each connection."""
        ...

    @property
    def follows_demand(self) -> bool:
        """Whether a part of the feed subscribes to the symbols that readers want, instead of a fixed list."""
        ...

    def update_demand(self, wanted: Set[str]) -> None:
        """If the feed follows the demand, subscribe to the symbols in `wanted`, which readers want now."""
        ...
