"""The table of event kinds and names agrees with the code that uses it."""

from __future__ import annotations

from tickwire.core.event import RecordKind
from tickwire.core.event_kinds import EVENT_KINDS, EVENT_SOURCE_NAMES, RESERVED_EVENT_NAMES, EventKind, StreamEvent
from tickwire.sessions.subscription import Subscription


def test_a_subscription_lists_the_kinds_of_the_table() -> None:
    subscription = Subscription(events=reversed(EventKind))
    assert subscription.events == EVENT_KINDS == ("quote", "candle", "screen", "status", "correction", "message")
    assert all(type(kind) is str for kind in subscription.events)


def test_only_kinds_with_a_record_of_their_own_are_lossless() -> None:
    """The hub never skips a status, correction, message or closed candle. It may conflate quotes and screen events."""
    lossless = {kind for kind in EventKind if Subscription(events=[kind]).lossless_kinds}
    assert lossless == {EventKind.CANDLE, EventKind.STATUS, EventKind.CORRECTION, EventKind.MESSAGE}
    assert Subscription(events=[EventKind.CANDLE]).lossless_kinds == (RecordKind.CANDLES,)
    never = {kind for kind in EventKind if kind.conflation == "never"}
    assert never == {EventKind.STATUS, EventKind.CORRECTION, EventKind.MESSAGE}


def test_no_message_can_have_the_name_of_a_stream_event() -> None:
    assert {*StreamEvent, *EVENT_SOURCE_NAMES, "control"} == RESERVED_EVENT_NAMES
    assert {event.kind for event in StreamEvent} == {None, *EventKind} - {EventKind.MESSAGE}
