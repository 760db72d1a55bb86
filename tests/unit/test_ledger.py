"""What is learned from controls: changes that follow one another, their bounds, and what is in use elsewhere."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickwire.hub import changes as bounds
from tickwire.hub.changes import Changes
from tickwire.hub.control import Change, Hold, Keep
from tickwire.hub.kept import UNUSED_SECONDS
from tickwire.hub.ledger import Ledger
from tickwire.hub.subscription import Subscription

ASKED = Subscription(["A"])


def change(client: str, *symbols: str, user: str | None = None, after: int | None = None) -> Change:
    """From ASKED to these symbols."""
    return Change(client, ASKED.describe(), Subscription(symbols).describe(), user, after)


def names(changes: Changes, client: str, user: str | None = None) -> tuple[str, ...]:
    return changes.newest(client, user, ASKED)[0].names


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["ann", "bob"])), max_size=30))
def test_of_changes_from_the_same_the_first_holds(made: list[tuple[int, str]]) -> None:
    """Each is made from what its maker saw some changes ago: it holds if nobody changed that since."""
    changes, by_hand = Changes(), {"ann": [0], "bob": [0]}
    for at, (ago, client) in enumerate(made, 1):
        seen = by_hand[client][max(0, len(by_hand[client]) - 1 - ago)]
        holds = changes.take(change(client, f"S{at}", after=seen), at)
        assert holds == (seen == by_hand[client][-1]) == (not changes.void(at))
        if holds:
            by_hand[client].append(at)
    for client, numbers in by_hand.items():
        assert names(changes, client) == (f"S{numbers[-1]}" if numbers[-1] else "A",)


def test_a_change_after_a_restart_follows_the_one_before_it() -> None:
    """The numbers are saved too. What is not made from anything always holds."""
    changes, other = Changes(), Changes()
    changes.take(change("ann", "B", after=0), 7)
    other.restore(changes.save())
    assert not other.take(change("ann", "C", after=0), 8)
    assert other.take(change("ann", "C", after=7), 9)
    assert other.take(change("ann", "A"), 10)


@pytest.mark.parametrize(("bound", "most"), [("USER_CHANGES", 2), ("USER_NAMES", 4)])
def test_a_user_has_a_share_of_the_room(monkeypatch, bound: str, most: int) -> None:
    """One who has used it up takes nobody else's; it comes back with what is let go."""
    monkeypatch.setattr(bounds, bound, most)
    changes = Changes()
    for at, client in enumerate(("one", "two"), 1):
        assert changes.lacks_room(change(client, "B", user="user:ann")) is None
        changes.take(change(client, "B", user="user:ann"), at)
    assert changes.lacks_room(change("three", "B", user="user:ann")) == "user"
    assert changes.lacks_room(change("two", "C", user="user:ann")) is None
    assert changes.lacks_room(change("one", "B", user="user:bob")) is None
    assert changes.lacks_room(change("one", "B")) is None
    for now in (0, bounds.LEAST_SECONDS):
        changes.forget(now, 10, 11, lambda client: client == "one")
    assert len(changes) == 1
    assert changes.lacks_room(change("three", "B", user="user:ann")) is None


def test_the_room_of_all_is_bounded(monkeypatch) -> None:
    """Of users and of nobody in particular together."""
    monkeypatch.setattr(bounds, "MOST_CHANGES", 2)
    changes = Changes()
    changes.take(change("one", "B", user="user:ann"), 1)
    changes.take(change("one", "B"), 2)
    assert changes.lacks_room(change("one", "B", user="user:bob")) == "server"
    assert changes.lacks_room(change("one", "C")) is None


def test_what_is_used_elsewhere_is_not_let_go() -> None:
    """A process that never had the reader keeps its change and its list as long as another says that it is there."""
    ledger = Ledger()
    ledger.take(change("ann", "B"), 1)
    ledger.take(change("bob", "B"), 2)
    for name in ("used", "unused"):
        ledger.take(Keep(name, {"symbols": "A"}), 3)

    def forget(now: float, head: int) -> None:
        ledger.forget(now, now, head=head, first=head - 10, connected=lambda _: False)

    for second in range(0, 200, 20):
        forget(second, head=second + 3)
        ledger.take(Hold(["ann"], ["used", "nobody knows it"]), second + 4)
    assert (names(ledger.changes, "ann"), names(ledger.changes, "bob")) == (("B",), ("A",))
    assert (ledger.kept.parameters("used"), ledger.kept.parameters("unused")) == ({"symbols": "A"}, None)
    for now in (200, 200 + UNUSED_SECONDS):
        forget(now, head=int(now) + 300)
    assert (len(ledger.changes), len(ledger.kept)) == (0, 0)
