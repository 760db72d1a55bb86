"""Admin events: commands that are stored in the journal, so that every process applies them, even after a restart.

Admin events have their own kind, to which no client can subscribe. Every process reads the whole journal, and applies
each admin event at the event's position.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec

from tickwire.core.codec import decode_json
from tickwire.core.event import JournalEntry, NamedEvent, named_entry
from tickwire.core.event_kinds import ADMIN_EVENT_KIND


class SubscriptionChanged(msgspec.Struct, frozen=True, tag_field="do", tag="change"):
    """A changed subscription: readers that requested the subscription `asked` now have the subscription `now`.

    The change applies to the readers with this client id and this user. If `user` is None, the change applies to
    readers without a user. The user is part of the condition because clients choose their own ids. `asked` and `now`
    are results of `Subscription.describe`.

    `after` is the sequence number of the newest event that the author of the change had applied. If the journal
    contains another change of the same subscription between event `after` and this change, this change has no effect,
    because its author had not seen the other change. If `after` is None, the change always has an effect.
    """

    client_id: str
    asked: dict[str, Any]
    now: dict[str, Any]
    user: str | None = None
    after: int | None = None


class KeepAlive(msgspec.Struct, frozen=True, tag_field="do", tag="hold"):
    """A report in which a process lists the changed subscriptions and the stored subscriptions that its readers use.

    `clients` lists the ids of connected clients whose subscription was changed. `kept` lists the ids of stored
    subscriptions. Without this report, the other processes would delete these subscriptions as unused.
    """

    clients: list[str] = []
    kept: list[str] = []


class OverridesExpired(msgspec.Struct, frozen=True, tag_field="do", tag="forget"):
    """A list of overrides (changed subscriptions) that expire, because their readers have long been disconnected.

    `changes` identifies each override by the sequence number of its newest change. `after` is the sequence number of
    the newest event that the process had applied when it appended this list. If an event later than `after` reports
    that the reader of an override is connected, the override does not expire.
    """

    changes: list[int]
    after: int


class SubscriptionStored(msgspec.Struct, frozen=True, tag_field="do", tag="keep"):
    """A command to store the parameters of a stream request under an id.

    The parameters count towards the quota of `user`.
    """

    id: str
    parameters: dict[str, str]
    user: str | None = None


class ReadersEvicted(msgspec.Struct, frozen=True, tag_field="do", tag="evict"):
    """A command to end all streams of a client or of a user.

    `name` is a client id or `user:NAME`. If `user` is not None, only streams of this user end, because clients of
    several users may have the same client id. The server tells the clients to reconnect after `retry_ms`. `at` is the
    time of the command, in seconds since the Unix epoch. `at` is None if an earlier version wrote the event.
    """

    name: str
    retry_ms: int
    user: str | None = None
    at: int | None = None


class TokensRevoked(msgspec.Struct, frozen=True, tag_field="do", tag="revoke"):
    """A command to revoke tokens, and to end the streams of these tokens.

    The name `user:NAME` revokes all tokens of that user that were issued up to the time `at`. The name `token:ID`
    revokes one token. By the time `until`, all revoked tokens have expired. Both times are seconds since the Unix
    epoch.
    """

    name: str
    at: float
    until: float
    retry_ms: int


class TicketRedeemed(msgspec.Struct, frozen=True, tag_field="do", tag="spend"):
    """A ticket was redeemed.

    A ticket is a credential in a URL that opens one stream, once. The name of the ticket is the key of the journal
    entry. The journal accepts each key once, so a ticket cannot be redeemed twice.
    """


class ScenarioStarted(msgspec.Struct, frozen=True, tag_field="do", tag="stage"):
    """A scenario has started in the simulation. If `scenario` is None, the previous scenario has ended.

    `began` is the market time of the start, in nanoseconds. `by_hand` is True if a client started the scenario, and
    False if the settings name the scenario.
    """

    scenario: dict[str, Any] | None
    began: int = 0
    by_hand: bool = False


AdminEvent: TypeAlias = (
    SubscriptionChanged
    | OverridesExpired
    | SubscriptionStored
    | KeepAlive
    | ReadersEvicted
    | TokensRevoked
    | TicketRedeemed
    | ScenarioStarted
)


def admin_event_entry(event: AdminEvent) -> JournalEntry:
    """Return a journal entry that contains the admin event."""
    return named_entry(ADMIN_EVENT_KIND, event, kind=ADMIN_EVENT_KIND)


def decode_admin_event(named: NamedEvent) -> AdminEvent:
    """Decode a named event of kind ADMIN_EVENT_KIND."""
    return decode_json(bytes(named.data), AdminEvent)  # type: ignore[arg-type]  # a union is a type to msgspec
