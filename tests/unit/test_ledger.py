"""What is learned from controls: changes that follow one another, their bounds, and what is in use elsewhere."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickwire.hub import changes as bounds
from tickwire.hub.changes import Changes
from tickwire.hub.control import Change, Forget, Hold, Keep
from tickwire.hub.kept import UNUSED_SECONDS
from tickwire.hub.ledger import Ledger
from tickwire.hub.saved import pack_saved, read_saved
from tickwire.hub.subscription import Subscription

ASKED = Subscription(["A"])


def change(client: str, *symbols: str, user: str | None = None, after: int | None = None) -> Change:
    """From ASKED to these symbols."""
    return Change(client, ASKED.describe(), Subscription(symbols).describe(), user, after)


def names(changes: Changes, client: str, user: str | None = None) -> tuple[str, ...]:
    return changes.newest(client, user, ASKED)[0].names


def lacks_room(changes: Changes, client: str, symbol: str, user: str | None = None) -> str | None:
    return changes.lacks_room(client, {(user, ASKED): Subscription([symbol])})


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
    other.restore(changes.save(), changes.held())
    assert not other.take(change("ann", "C", after=0), 8)
    assert other.take(change("ann", "C", after=7), 9)
    assert other.take(change("ann", "A"), 10)


WHO = st.sampled_from(["ann", "bob"])
STEPS = st.one_of(
    st.tuples(st.just("change"), WHO, st.integers(0, 4)),
    st.tuples(st.just("start"), WHO),
    st.tuples(st.just("hold"), WHO),
    st.tuples(st.just("forget"), st.integers(0, 4)),
)


@given(st.lists(STEPS, max_size=40), st.integers(0, 40))
def test_who_starts_from_a_saved_state_comes_to_the_same(steps: list, saved_at: int) -> None:
    """Makers know the journal as it was some events ago; whatever they write, all that follow it agree."""
    ledgers, other = [Ledger()], Ledger()
    made: list[int] = [0]
    for at, (kind, *step) in enumerate(steps, 1):
        if at == saved_at:
            other.restore(read_saved(pack_saved(ledgers[0].save(b"", b"", []))))
            ledgers.append(other)
        if kind == "change":
            control = change(step[0], f"S{at}", after=max(0, at - 1 - step[1]))
            made.append(at)
        elif kind == "start":
            control = change(step[0], "A")
            made.append(at)
        elif kind == "hold":
            control = Hold([step[0]])
        else:
            control = Forget(made[-3:], max(0, at - 1 - step[0]))
        assert len({ledger.take(control, at) for ledger in ledgers}) == 1
    assert len({tuple(ledger.changes.newest(who, None, ASKED) for who in ("ann", "bob")) for ledger in ledgers}) == 1


def test_a_change_is_let_go_of_with_the_history_that_its_reader_may_come_back_to() -> None:
    """Where the hub stood a minute after the reader left has to be gone; and who was seen meanwhile keeps it."""
    changes = Changes()
    changes.take(change("ann", "B"), 1)
    for now, head in ((0, 10), (59, 50)):
        assert changes.over(now, head, first=head + 1, connected=lambda _: False) == []
    assert changes.over(61, 70, first=51, connected=lambda _: False) == []
    assert changes.over(61, 70, first=52, connected=lambda _: False) == [1]
    changes.hold(["ann"], 71)
    changes.forget([1], 70)
    assert len(changes) == 1
    changes.forget([1], 71)
    assert len(changes) == 0


@pytest.mark.parametrize(("bound", "most"), [("USER_CHANGES", 2), ("USER_NAMES", 4)])
def test_a_user_has_a_share_of_the_room(monkeypatch, bound: str, most: int) -> None:
    """One who has used it up takes nobody else's; it comes back with what is let go."""
    monkeypatch.setattr(bounds, bound, most)
    changes = Changes()
    for at, client in enumerate(("one", "two"), 1):
        assert lacks_room(changes, client, "B", "user:ann") is None
        changes.take(change(client, "B", user="user:ann"), at)
    assert lacks_room(changes, "three", "B", "user:ann") == "user"
    assert lacks_room(changes, "two", "C", "user:ann") is None
    assert lacks_room(changes, "one", "B", "user:bob") is None
    assert lacks_room(changes, "one", "B") is None
    changes.forget([2], 10)
    assert len(changes) == 1
    assert lacks_room(changes, "three", "B", "user:ann") is None


def test_the_room_of_all_is_bounded(monkeypatch) -> None:
    """Of users and of nobody in particular together."""
    monkeypatch.setattr(bounds, "MOST_CHANGES", 2)
    changes = Changes()
    changes.take(change("one", "B", user="user:ann"), 1)
    changes.take(change("one", "B"), 2)
    assert lacks_room(changes, "one", "B", "user:bob") == "server"
    assert lacks_room(changes, "one", "C") is None


def test_what_is_used_elsewhere_is_not_let_go() -> None:
    """A process that never had the reader keeps its change and its list as long as another says that it is there."""
    ledger = Ledger()
    ledger.take(change("ann", "B"), 1)
    ledger.take(change("bob", "B"), 2)
    for name in ("used", "unused"):
        ledger.take(Keep(name, {"symbols": "A"}), 3)

    def forget(now: float, head: int) -> None:
        ledger.forget(now, now)
        ledger.take(Forget(ledger.changes.over(now, head, head - 10, lambda _: False), head), head + 1)

    for second in range(0, 200, 20):
        forget(second, head=second + 3)
        ledger.take(Hold(["ann"], ["used", "nobody knows it"]), second + 5)
    assert (names(ledger.changes, "ann"), names(ledger.changes, "bob")) == (("B",), ("A",))
    assert (ledger.kept.parameters("used"), ledger.kept.parameters("unused")) == ({"symbols": "A"}, None)
    for now in (200, 200 + UNUSED_SECONDS - 1, 200 + UNUSED_SECONDS):
        forget(now, head=int(now) + 300 * (now > 200 + bounds.LEAST_SECONDS - 1))
    assert (len(ledger.changes), len(ledger.kept)) == (0, 0)
