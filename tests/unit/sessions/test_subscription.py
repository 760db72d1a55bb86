"""Subscriptions."""

from __future__ import annotations

from tickwire.sessions.rights import Rights
from tickwire.sessions.subscription import Heartbeats, Subscription
from tickwire.sessions.symbol_set import SymbolSet


def test_the_form_of_heartbeats_is_part_of_a_subscription() -> None:
    """A restricted, changed or restored subscription has the same form. A description omits the default form."""
    requested = Subscription(["A", "B"], heartbeats=Heartbeats.EVENT)
    assert requested != Subscription(["A", "B"])
    for other in (
        Subscription(**requested.describe()),
        requested.with_changes(add=["C"]),
        Rights(symbols=SymbolSet(["A"])).restrict(requested),
    ):
        assert other.heartbeats is Heartbeats.EVENT
    assert "heartbeats" not in Subscription(["A"], heartbeats="comment").describe()


def test_a_subscription_accepts_an_iterator_of_events() -> None:
    """An iterator can be read only once."""
    assert Subscription(events=iter(["status", "quote"])) == Subscription(events=["quote", "status"])
