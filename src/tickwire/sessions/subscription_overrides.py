"""A subscription override: the stored copy of a subscription that was changed while its reader was connected.

A reader reconnects with its original request. Without the override, the server would use the requested subscription
again. The server would assume that the reader has received all earlier events of the requested symbols, although the
changed subscription may not have included them.

An override is stored while its reader is connected, and for at least one minute after that. At the end of the minute,
the server notes the sequence number of the newest event. The override expires when the journal has deleted this event.
A reader that reconnects even later cannot resume. The server sends the whole current state to such a reader, so the
reader needs no override.

When an override expires, the server appends an event to the journal. All processes therefore have the same overrides
after they have applied the same events. This is also true for a process that restarts from an older snapshot.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from typing import TypeAlias

import msgspec

from tickwire.sessions.admin_events import SubscriptionChanged
from tickwire.sessions.quota import ExceededLimit, IdleTimer, Quota, first_exceeded
from tickwire.sessions.subscription import Subscription

MAX_OVERRIDES = 10_000
# The maximum number of symbols and patterns in all overrides together. This many symbols occupy about 35 MB, and add 70
# ms to every snapshot.
MAX_OVERRIDE_SYMBOLS = 500_000
# The maximum number of overrides that belong to one user, and the maximum number of symbols and patterns in these
# overrides together.
MAX_OVERRIDES_PER_USER, MAX_OVERRIDE_SYMBOLS_PER_USER = 500, 50_000
MIN_DISCONNECTED_S = 60.0
# The server remembers at most this many changes that had no effect. One such change for each override is enough,
# because the author of a change calls `is_conflict` directly after the change.
_MAX_CONFLICTS = MAX_OVERRIDES

UserRequest: TypeAlias = tuple[str | None, Subscription]
"""A user (None for no user), and a subscription that this user requested."""

_OverrideKey: TypeAlias = tuple[str, str | None, Subscription]
"""The key of an override: a client id, and a UserRequest."""


class _Override(msgspec.Struct):
    """The override of one request. `current` is the changed subscription, which replaces the requested subscription.

    `changed_at` is the sequence number of the newest change. `last_seen` is the sequence number of the newest event
    that reported a reader with this override as connected, or 0 if no event did. `disconnected` measures the time since
    the last reader with this override disconnected. `left_at` is the sequence number of the newest event at the moment
    when this time reached MIN_DISCONNECTED_S.
    """

    changed_at: int
    current: Subscription
    last_seen: int = 0
    disconnected: IdleTimer = msgspec.field(default_factory=IdleTimer)
    left_at: int = 0


class SubscriptionOverrides:
    """All overrides. An override maps a requested subscription to the current subscription.

    The subscriptions in this object are not restricted to the rights of the clients. The server restricts a
    subscription when it applies the subscription to a reader.
    """

    def __init__(self) -> None:
        self._overrides: dict[_OverrideKey, _Override] = {}
        self._count = Quota()
        self._symbols = Quota()
        # The sequence numbers of the newest changes that had no effect, oldest first.
        self._conflicts: dict[int, None] = {}

    def __len__(self) -> int:
        return len(self._overrides)

    def exceeded_limit(self, client_id: str, overrides: Mapping[UserRequest, Subscription]) -> ExceededLimit | None:
        """Check whether these overrides of one client can be stored. Return the limit that they would exceed, or None.

        Overrides that increase neither the number of stored overrides nor the number of symbols always fit.
        """
        added_overrides, added_symbols = Counter[str | None](), Counter[str | None]()
        for (user, requested), current in overrides.items():
            override = self._overrides.get((client_id, user, requested))
            added_overrides[user] += override is None
            added_symbols[user] += (
                len(current.symbols_and_patterns) - len(override.current.symbols_and_patterns)
                if override
                else len(requested.symbols_and_patterns) + len(current.symbols_and_patterns)
            )
        if not added_overrides.total() and added_symbols.total() <= 0:
            return None
        limits = (
            self._count.exceeded_limit(added_overrides, max_total=MAX_OVERRIDES, max_per_user=MAX_OVERRIDES_PER_USER),
            self._symbols.exceeded_limit(
                added_symbols, max_total=MAX_OVERRIDE_SYMBOLS, max_per_user=MAX_OVERRIDE_SYMBOLS_PER_USER
            ),
        )
        return first_exceeded(limits)

    def apply(self, change: SubscriptionChanged, sequence: int) -> bool:
        """Apply the change in event `sequence`.

        Return False if the change has no effect. A change has no effect if its author had not yet applied the newest
        earlier change of the same subscription.
        """
        key, current = _parse_change(change)
        override = self._overrides.get(key)
        if change.after is not None and override is not None and override.changed_at > change.after:
            self._conflicts[sequence] = None
            if len(self._conflicts) > _MAX_CONFLICTS:
                del self._conflicts[next(iter(self._conflicts))]
            return False
        self._remove(key)
        self._overrides[key] = _Override(sequence, current)
        self._count_override(key, current, 1)
        return True

    def is_conflict(self, sequence: int) -> bool:
        """Whether the change in event `sequence` had no effect, because it conflicted with another change.

        The method knows only recent conflicts.
        """
        return sequence in self._conflicts

    def current_subscription(
        self, client_id: str, user: str | None, requested: Subscription
    ) -> tuple[Subscription, int]:
        """Return the current subscription of a request, and the sequence number of the newest change.

        If the subscription was not changed, return `requested` and 0.
        """
        override = self._overrides.get((client_id, user, requested)) if self._overrides else None
        return (requested, 0) if override is None else (override.current, override.changed_at)

    def last_mention_sequence(self, client_id: str, user: str | None, requested: Subscription) -> int:
        """Return the sequence number of the newest event about the override of a request.

        Such an event changed the override, or reported that its reader is connected. If the request has no override,
        return 0.
        """
        override = self._overrides.get((client_id, user, requested))
        return 0 if override is None else max(override.changed_at, override.last_seen)

    def client_ids(self) -> set[str]:
        """Return the ids of the clients that have overrides."""
        return {client_id for client_id, _, _ in self._overrides}

    def mark_connected(self, client_ids: Collection[str], sequence: int) -> None:
        """Record that event `sequence` reported clients with these ids as connected to some process."""
        for (client_id, _, _), override in self._overrides.items():
            if client_id in client_ids:
                override.last_seen = sequence
                override.disconnected.reset()

    def find_expired(
        self, now: float, head: int, first_sequence: int, is_connected: Callable[[str], bool]
    ) -> list[int]:
        """Find the overrides that have expired (see the module docstring).

        Return one sequence number for each expired override: the number of the override's newest change.

        `first_sequence` is the sequence number of the oldest event in the journal. `now` is monotonic, in seconds.
        """
        expired = []
        for (client_id, _, _), override in self._overrides.items():
            if is_connected(client_id):
                override.disconnected.reset()
            elif override.disconnected.elapsed_s(now) < MIN_DISCONNECTED_S:
                override.left_at = head
            elif override.left_at + 1 < first_sequence:
                expired.append(override.changed_at)
        return expired

    def discard(self, sequences: Collection[int], as_of_sequence: int) -> None:
        """Drop each override whose newest change is one of the events with these sequence numbers.

        Keep the override if an event after `as_of_sequence` reported that the override's reader is connected.
        """
        for key, override in list(self._overrides.items()):
            if override.changed_at in sequences and override.last_seen <= as_of_sequence:
                self._remove(key)

    def _remove(self, key: _OverrideKey) -> None:
        override = self._overrides.pop(key, None)
        if override is not None:
            self._count_override(key, override.current, -1)

    def _count_override(self, key: _OverrideKey, current: Subscription, sign: int) -> None:
        _, user, requested = key
        self._count.add(user, sign)
        self._symbols.add(user, sign * (len(requested.symbols_and_patterns) + len(current.symbols_and_patterns)))

    def capture(self) -> Callable[[], list[tuple[int, SubscriptionChanged]]]:
        """Return a function that returns the result of `save` for the present state. Any thread may call the function.

        With thousands of overrides, the function takes many milliseconds.
        """
        overrides = [(key, each.changed_at, each.current) for key, each in self._overrides.items()]
        return lambda: [
            (changed_at, SubscriptionChanged(client_id, requested.describe(), current.describe(), user))
            for (client_id, user, requested), changed_at, current in overrides
        ]

    def save(self) -> list[tuple[int, SubscriptionChanged]]:
        """Return a list with one pair for each override, as an argument for `restore`.

        The pair contains the sequence number of the newest change, and the override as a SubscriptionChanged.
        """
        return self.capture()()

    def last_seen_sequences(self) -> list[int]:
        """Return one sequence number for each override, in the order of `save`.

        The number belongs to the newest event that reported the override's reader as connected. The number is 0 if no
        event reported the reader.
        """
        return [override.last_seen for override in self._overrides.values()]

    def restore(self, saved: list[tuple[int, SubscriptionChanged]], last_seen: list[int]) -> None:
        """Add the overrides that `save` and `last_seen_sequences` returned. In old snapshots, `last_seen` is empty."""
        for sequence, change in saved:
            self.apply(change, sequence)
        for override, sequence in zip(self._overrides.values(), last_seen, strict=False):
            override.last_seen = sequence


def _parse_change(change: SubscriptionChanged) -> tuple[_OverrideKey, Subscription]:
    return (change.client_id, change.user, Subscription(**change.asked)), Subscription(**change.now)
