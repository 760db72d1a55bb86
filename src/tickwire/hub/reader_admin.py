"""The administration of readers: changed subscriptions, evictions, expired tokens and lifetimes, and shutdown."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from itertools import islice
from random import uniform
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from tickwire.core.close_reasons import CloseReason
from tickwire.core.codec import encode_json
from tickwire.core.event import NamedEvent
from tickwire.core.event_id import EventId, evicted_event_id
from tickwire.core.event_kinds import StreamEvent
from tickwire.errors import ScreenLimitReached
from tickwire.hub.fanout.channel import Channel
from tickwire.hub.fanout.position import HubPosition
from tickwire.hub.fanout.reader import RECONNECT_DELAY_MS, Reader
from tickwire.hub.fanout.rendered_events import RenderedNamedEvent
from tickwire.hub.fanout.router import Router
from tickwire.hub.interval_holds import IntervalHolds
from tickwire.hub.roster import Roster
from tickwire.sessions.admin_events import (
    AdminEvent,
    KeepAlive,
    OverridesExpired,
    ReadersEvicted,
    SubscriptionChanged,
    SubscriptionStored,
    TokensRevoked,
    decode_admin_event,
)
from tickwire.sessions.session_registry import SessionRegistry
from tickwire.sessions.subscription import Subscription
from tickwire.sse.frame import encode_frame

# Seconds between the warning about a token and the expiry of the token. In this time, a client can try twice to fetch a
# new token.
EXPIRY_WARNING_S = 30.0

# The maximum number of names in one admin event. This many names occupy at most about 100 KB.
_MAX_NAMES_PER_EVENT = 1_000

_Dismissal: TypeAlias = tuple[CloseReason, Callable[[], int]]
"""The close reason in the `bye` event, and a function that returns the reconnect delay of one reader in ms."""


class _ChangedRows:
    """Caches the board rows (one row per symbol) of the channels between which readers move because of one event.

    `new_rows` maps two channels to the rows that are new to a reader that moves from the first channel to the second.
    `is_selected` maps a channel to an array with one bool for each row: True if the channel selects the row. Many
    readers of one old channel can move to different new channels, because their rights differ.
    """

    def __init__(self) -> None:
        self.new_rows: dict[tuple[Channel, Channel], NDArray[np.intp]] = {}
        self.is_selected: dict[Channel, NDArray[np.bool_]] = {}


class ReaderAdmin:
    """Applies admin events from the journal to readers, and disconnects readers.

    Each hub has its own ReaderAdmin. The ReaderAdmin of the live hub is the `primary`, and receives all admin events
    from the journal. The primary passes each event on to the ReaderAdmin objects of the delayed hubs, so admin events
    apply to the readers of all hubs without delay.

    `max_lifetime_s` is the maximum lifetime of a stream in seconds. 0 means no limit. The lifetime varies by up to a
    tenth, so that readers that connected together do not all reconnect at the same time.
    """

    def __init__(
        self,
        head: HubPosition,
        roster: Roster,
        router: Router,
        interval_holds: IntervalHolds,
        *,
        max_lifetime_s: float,
        primary: ReaderAdmin | None = None,
    ) -> None:
        self.registry: SessionRegistry = SessionRegistry() if primary is None else primary.registry
        self._head = head
        self._roster = roster
        self._router = router
        self._interval_holds = interval_holds
        self._max_lifetime_s = max_lifetime_s
        self._primary = primary
        # The close reason and the reconnect delays, if all readers must leave. None otherwise.
        self._dismissal: _Dismissal | None = None
        # This ReaderAdmin, and the ReaderAdmin objects of the delayed hubs.
        self._all_admins = [self]

    @property
    def is_draining(self) -> bool:
        """Whether this hub disconnects all readers, including each reader that connects later."""
        return self._active_dismissal is not None

    @property
    def _active_dismissal(self) -> _Dismissal | None:
        return self._dismissal or (None if self._primary is None else self._primary._active_dismissal)

    def attach(self, admin: ReaderAdmin) -> None:
        """Forward admin events to the ReaderAdmin of a delayed hub."""
        self._all_admins.append(admin)

    def detach(self, admin: ReaderAdmin) -> None:
        """Stop forwarding admin events to the ReaderAdmin of a delayed hub."""
        self._all_admins.remove(admin)

    def apply(self, item: RenderedNamedEvent, now: float) -> None:
        """Apply an admin event. `now` is monotonic, in seconds."""
        if self._primary is None:
            event = decode_admin_event(item.event)
            if self.registry.apply(event, item.last):
                for admin in self._all_admins:
                    admin._apply_to_readers(event, now)

    def prepare(self, event: NamedEvent, reservations: ExitStack) -> Iterator[None]:
        """Prepare the channels that `apply` will create for an admin event, in steps of a few milliseconds.

        The caller must close `reservations` after it has applied the event.
        """
        # Ignore errors, because an invalid event fails again in `apply`, which logs the error.
        with suppress(Exception):
            change = decode_admin_event(event)
            if isinstance(change, SubscriptionChanged):
                moves = [(admin, new) for admin in self._all_admins for _, new in admin._changed_readers(change)]
                for admin, subscription in dict.fromkeys(moves):
                    yield from admin._router.prepare_channel(subscription, reservations)

    def override_expiry_events(self, now: float, first_sequence: int) -> Iterator[OverridesExpired]:
        """Yield admin events that list expired subscription overrides. Each event has bounded size.

        A subscription override is a changed subscription that replaces the requested one. Every process that applies
        the events drops the listed overrides. `now` is monotonic, in seconds. `first_sequence` is the sequence number
        of the oldest event in the journal.
        """
        head = self._head.sequence
        expired = self.registry.overrides.find_expired(now, head, first_sequence, self._is_connected)
        for begin in range(0, len(expired), _MAX_NAMES_PER_EVENT):
            yield OverridesExpired(expired[begin : begin + _MAX_NAMES_PER_EVENT], head)

    def keepalive_events(self) -> Iterator[KeepAlive]:
        """Yield admin events that report which client ids and stored subscriptions this process uses.

        An event lists a client id only if the client has a subscription override. Each event has bounded size.
        """
        client_ids = sorted(name for name in self.registry.overrides.client_ids() if self._is_connected(name))
        stored_ids = self.registry.stored_subscriptions.ids_in_use
        for begin in range(0, max(len(client_ids), len(stored_ids)), _MAX_NAMES_PER_EVENT):
            end = begin + _MAX_NAMES_PER_EVENT
            yield KeepAlive(client_ids[begin:end], stored_ids[begin:end])

    def stored_subscription_events(self) -> Iterator[SubscriptionStored]:
        """Yield an admin event for each stored subscription that this process uses.

        If another process has evicted some of these subscriptions, the events restore them in that process.
        """
        stored = self.registry.stored_subscriptions
        for stored_id in stored.ids_in_use:
            parameters = dict(stored.find_parameters(stored_id) or {})
            yield SubscriptionStored(stored_id, parameters, stored.owner(stored_id))

    def dismiss_all(self, reason: CloseReason, choose_retry_ms: Callable[[], int]) -> None:
        """Disconnect all readers of all hubs, and each reader that connects later.

        `choose_retry_ms` returns the reconnect delay of one reader in milliseconds.
        """
        for admin in self._all_admins:
            admin._dismiss_readers((reason, choose_retry_ms))

    def dismiss_some(self, reason: CloseReason, retry_ms: int, count: int) -> None:
        """Disconnect at most `count` readers of all hubs. Readers that connect later stay connected."""
        readers = (reader for admin in self._all_admins for reader in admin._roster.channels if not reader.is_closing)
        for reader in [*islice(readers, count)]:
            reader.disconnect(reason, retry_ms)

    def dismiss_own_readers(self, reason: CloseReason) -> None:
        """Disconnect all readers of this hub, and each reader that connects to this hub later.

        Other hubs keep their readers.
        """
        self._dismiss_readers((reason, lambda: RECONNECT_DELAY_MS))

    def _dismiss_readers(self, dismissal: _Dismissal) -> None:
        self._dismissal = dismissal
        for reader in list(self._roster.channels):
            self.dismiss_if_refused(reader)

    def dismiss_expired(self, now: float, wall_time: float, choose_retry_ms: Callable[[], int]) -> None:
        """Disconnect readers whose lifetime or token has expired. Warn readers whose token expires soon.

        `now` is monotonic, in seconds. `wall_time` is in seconds since the Unix epoch.
        """
        for admin in self._all_admins:
            for reader in admin._roster.channels:
                if reader.identity.rights.expires is not None:
                    _enforce_token_expiry(reader, reader.identity.rights.expires - wall_time, choose_retry_ms)
                if self._max_lifetime_s:
                    self._enforce_max_lifetime(reader, now, choose_retry_ms)

    def dismiss_if_refused(self, reader: Reader) -> None:
        """Disconnect a reader if the hub disconnects all readers, or if the reader's token was revoked."""
        if self._active_dismissal is not None:
            reason, choose_retry_ms = self._active_dismissal
            reader.disconnect(reason, choose_retry_ms())
        elif self.registry.revoked_tokens.is_revoked(reader.identity.rights):
            reader.disconnect(CloseReason.EVICTED, RECONNECT_DELAY_MS)

    def drop_if_empty(self, channel: Channel) -> None:
        """Remove a channel that has no readers left."""
        if not channel.reader_count:
            self._router.remove_channel(channel)

    def _apply_to_readers(self, event: AdminEvent, now: float) -> None:
        if isinstance(event, ReadersEvicted):
            for reader in self._roster.find_readers(event.name):
                if event.user in (None, reader.identity.user_address):
                    self._evict(reader, event, now)
        elif isinstance(event, TokensRevoked):
            for reader in list(self._roster.channels):
                if self.registry.revoked_tokens.is_revoked(reader.identity.rights):
                    reader.disconnect(CloseReason.EVICTED, event.retry_ms)
        elif isinstance(event, SubscriptionChanged):
            cache = _ChangedRows()
            for reader, subscription in self._changed_readers(event):
                self._change_subscription(reader, subscription, now, cache)

    def _evict(self, reader: Reader, event: ReadersEvicted, now: float) -> None:
        """End a stream. The `bye` event has a special id, so that the server rejects an automatic reconnect.

        If the reader can resume later, the id also contains the position for the resume.
        """
        channel = self._roster.channels[reader]
        if reader.is_live:
            channel.flush(now)
        # Check again whether the reader is live. If the flush has filled the reader's send buffer, the reader has
        # already left the channel.
        if reader.is_live:
            channel.leave(reader)
        event_id = None if event.at is None else evicted_event_id(self._resume_position(reader), event.at)
        reader.disconnect(CloseReason.EVICTED, event.retry_ms, event_id)

    def _resume_position(self, reader: Reader) -> EventId | None:
        """Return the position at which a new stream of the reader can resume without missing an event.

        Return None if the new stream must start with a snapshot.
        """
        if reader.needs_snapshot:
            return None
        position = reader.position
        if reader.pending_rows is not None:
            identity = reader.identity
            _, changed_at = self.registry.overrides.current_subscription(
                identity.client_id, identity.user_address, reader.requested
            )
            # If no override exists, the newest change has restored the requested subscription. The reader may lack
            # quotes of the restored symbols that are older than its positions since the first change. No position is
            # early enough for these quotes, so the new stream must start with a snapshot.
            if not changed_at:
                return None
            # Resume before the change, so that the reader receives all quotes of the changed subscription.
            position = min(position, changed_at - 1)
        return EventId(self._head.epoch, position)

    def _changed_readers(self, event: SubscriptionChanged) -> Iterator[tuple[Reader, Subscription]]:
        """Yield each reader of this hub whose subscription the event changes, and its new subscription."""
        requested, current = Subscription(**event.asked), Subscription(**event.now)
        for reader in self._roster.find_readers(event.client_id):
            if (reader.identity.user_address, reader.requested) == (event.user, requested):
                # Most readers share one object. The comparison of an object with itself does not compare its symbols.
                requested = reader.requested
                yield reader, reader.identity.rights.restrict(current)

    def _is_connected(self, name: str) -> bool:
        return any(name in admin._roster for admin in self._all_admins)

    def _enforce_max_lifetime(self, reader: Reader, now: float, choose_retry_ms: Callable[[], int]) -> None:
        if not reader.lifetime_ends_at:
            reader.lifetime_ends_at = now + self._max_lifetime_s * uniform(0.9, 1.1)  # noqa: S311  # spreads load
        elif reader.lifetime_ends_at <= now:
            reader.disconnect(CloseReason.LIFETIME, choose_retry_ms())

    def _change_subscription(self, reader: Reader, subscription: Subscription, now: float, cache: _ChangedRows) -> None:
        """Move a reader to the channel of another subscription. The reader then catches up from its position.

        The board rows of newly subscribed symbols become the reader's `pending_rows`. If the newest quote of such a
        symbol is not after the reader's position, the catch-up sends this quote first. Later quotes follow as ordinary
        changes. The reader may be in any state.
        """
        old = self._roster.channels[reader]
        if reader.is_live:
            old.flush(now)
        self._interval_holds.hold(reader, now)
        # Check again whether the reader is live. If the flush has filled the reader's send buffer (sink), the reader
        # has already left the channel.
        if reader.is_live:
            old.leave(reader)
        was_counted = reader.eligible_quotes_at_leave is not None
        old.count_conflated(reader)
        try:
            new = self._router.find_or_create_channel(subscription)
        except ScreenLimitReached:
            # The screen index has no room, although it had room when the request was checked. Since then, other filters
            # have filled the index.
            reader.disconnect(CloseReason.LIMIT, RECONNECT_DELAY_MS)
            return
        if (old, new) not in cache.new_rows:
            cache.new_rows[old, new] = self._new_rows(old, new)
        new_rows = cache.new_rows[old, new]
        reader.pending_rows = (
            new_rows
            if reader.pending_rows is None
            else self._merge_pending_rows(reader.pending_rows, new_rows, new, cache)
        )
        # The reader must receive the open candles of the new symbols. It is simpler to send all open candles again.
        reader.candle_position = 0
        reader.eligible_quotes_at_leave = new.count_eligible_quotes() if was_counted else None
        self._roster.move(reader, new)
        old.reader_count -= 1
        self.drop_if_empty(old)
        reader.switch_group(new)

    def _new_rows(self, old: Channel, new: Channel) -> NDArray[np.intp]:
        """Return the board rows (one row per symbol) whose quotes a reader lacks after it moves to another channel.

        The reader moves from channel `old` to channel `new`. If the two channels send different quote fields, return
        all rows of `new`.
        """
        rows = self._router.matching_rows(new)
        if old.subscription.fields != new.subscription.fields:
            return rows
        is_new = np.ones(self._router.row_count, np.bool_)
        is_new[self._router.matching_rows(old)] = False
        return rows[is_new[rows]]

    def _merge_pending_rows(
        self, pending: NDArray[np.intp], new_rows: NDArray[np.intp], channel: Channel, cache: _ChangedRows
    ) -> NDArray[np.intp]:
        """Return `new_rows`, together with the rows in `pending` that the channel still selects.

        Rows are board rows (one per symbol) whose quotes a reader has not received. The result is in ascending order.
        """
        if channel not in cache.is_selected:
            cache.is_selected[channel] = self._mask_of(self._router.matching_rows(channel))
        merged = self._mask_of(pending[cache.is_selected[channel][pending]])
        merged[new_rows] = True
        return np.flatnonzero(merged)

    def _mask_of(self, rows: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Return one bool for each board row: True for the rows in `rows`."""
        mask = np.zeros(self._router.row_count, np.bool_)
        mask[rows] = True
        return mask


def _enforce_token_expiry(reader: Reader, remaining_s: float, choose_retry_ms: Callable[[], int]) -> None:
    if remaining_s <= 0:
        reader.disconnect(CloseReason.EXPIRED, choose_retry_ms())
    elif remaining_s <= EXPIRY_WARNING_S and not reader.expiry_warning_sent and not reader.is_closing:
        reader.expiry_warning_sent = True
        reader.write(encode_frame(encode_json({"in_ms": int(remaining_s * 1000)}), event=StreamEvent.EXPIRING))
