"""The state that results from admin events: overrides, their limits, and entries that other processes use."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickwire.sessions import subscription_overrides
from tickwire.sessions.admin_events import KeepAlive, OverridesExpired, SubscriptionChanged, SubscriptionStored
from tickwire.sessions.session_registry import SessionRegistry
from tickwire.sessions.snapshot import decode_hub_snapshot, encode_hub_snapshot
from tickwire.sessions.stored_subscriptions import MAX_IDLE_S
from tickwire.sessions.subscription import Subscription
from tickwire.sessions.subscription_overrides import SubscriptionOverrides

REQUESTED = Subscription(["A"])


def change(client: str, *symbols: str, user: str | None = None, after: int | None = None) -> SubscriptionChanged:
    """Return a change from REQUESTED to these symbols."""
    return SubscriptionChanged(client, REQUESTED.describe(), Subscription(symbols).describe(), user, after)


def subscribed_symbols(overrides: SubscriptionOverrides, client: str, user: str | None = None) -> tuple[str, ...]:
    return overrides.current_subscription(client, user, REQUESTED)[0].symbols_and_patterns


def exceeded_limit(overrides: SubscriptionOverrides, client: str, symbol: str, user: str | None = None) -> str | None:
    return overrides.exceeded_limit(client, {(user, REQUESTED): Subscription([symbol])})


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["ann", "bob"])), max_size=30))
def test_the_first_of_conflicting_changes_wins(attempts: list[tuple[int, str]]) -> None:
    """A change names the newest change that its author knew.

    The change is void if another change was applied in the meantime.
    """
    overrides, applied = SubscriptionOverrides(), {"ann": [0], "bob": [0]}
    for sequence, (changes_ago, client) in enumerate(attempts, 1):
        seen = applied[client][max(0, len(applied[client]) - 1 - changes_ago)]
        is_valid = overrides.apply(change(client, f"S{sequence}", after=seen), sequence)
        assert is_valid == (seen == applied[client][-1]) == (not overrides.is_conflict(sequence))
        if is_valid:
            applied[client].append(sequence)
    for client, sequences in applied.items():
        assert subscribed_symbols(overrides, client) == (f"S{sequences[-1]}" if sequences[-1] else "A",)


def test_a_restored_override_keeps_its_sequence() -> None:
    """A change that names no earlier event is always valid."""
    overrides, other = SubscriptionOverrides(), SubscriptionOverrides()
    overrides.apply(change("ann", "B", after=0), 7)
    other.restore(overrides.save(), overrides.last_seen_sequences())
    assert not other.apply(change("ann", "C", after=0), 8)
    assert other.apply(change("ann", "C", after=7), 9)
    assert other.apply(change("ann", "A"), 10)


CLIENTS = st.sampled_from(["ann", "bob"])
STEPS = st.one_of(
    st.tuples(st.just("change"), CLIENTS, st.integers(0, 4)),
    st.tuples(st.just("start"), CLIENTS),
    st.tuples(st.just("keep alive"), CLIENTS),
    st.tuples(st.just("expire"), st.integers(0, 4)),
)


@given(st.lists(STEPS, max_size=40), st.integers(0, 40))
def test_a_restored_registry_arrives_at_the_same_state(steps: list, saved_at: int) -> None:
    """The author of a change may know only an older part of the journal. All followers compute the same result."""
    registries, restored = [SessionRegistry()], SessionRegistry()
    changed_at: list[int] = [0]
    for sequence, (kind, *step) in enumerate(steps, 1):
        if sequence == saved_at:
            snapshot = encode_hub_snapshot(registries[0].capture(bytes, bytes, [])())
            restored.restore(decode_hub_snapshot(snapshot))
            registries.append(restored)
        if kind == "change":
            event = change(step[0], f"S{sequence}", after=max(0, sequence - 1 - step[1]))
            changed_at.append(sequence)
        elif kind == "start":
            event = change(step[0], "A")
            changed_at.append(sequence)
        elif kind == "keep alive":
            event = KeepAlive([step[0]])
        else:
            event = OverridesExpired(changed_at[-3:], max(0, sequence - 1 - step[0]))
        assert len({registry.apply(event, sequence) for registry in registries}) == 1
    subscriptions = {
        tuple(registry.overrides.current_subscription(client, None, REQUESTED) for client in ("ann", "bob"))
        for registry in registries
    }
    assert len(subscriptions) == 1


def test_an_override_expires_with_the_history_of_its_reader() -> None:
    """Without a KeepAlive, an override expires once the journal dropped the first minute of its reader's absence."""
    overrides = SubscriptionOverrides()
    overrides.apply(change("ann", "B"), 1)
    for now, head in ((0, 10), (59, 50)):
        assert overrides.find_expired(now, head, first_sequence=head + 1, is_connected=lambda _: False) == []
    assert overrides.find_expired(61, 70, first_sequence=51, is_connected=lambda _: False) == []
    assert overrides.find_expired(61, 70, first_sequence=52, is_connected=lambda _: False) == [1]
    overrides.mark_connected(["ann"], 71)
    overrides.discard([1], 70)
    assert len(overrides) == 1
    overrides.discard([1], 71)
    assert len(overrides) == 0


@pytest.mark.parametrize(("limit", "value"), [("MAX_OVERRIDES_PER_USER", 2), ("MAX_OVERRIDE_SYMBOLS_PER_USER", 4)])
def test_a_user_has_a_share_of_the_limits(monkeypatch, limit: str, value: int) -> None:
    """Expired overrides free a part of the user's share. A full share does not affect other users."""
    monkeypatch.setattr(subscription_overrides, limit, value)
    overrides = SubscriptionOverrides()
    for at, client in enumerate(("one", "two"), 1):
        assert exceeded_limit(overrides, client, "B", "user:ann") is None
        overrides.apply(change(client, "B", user="user:ann"), at)
    assert exceeded_limit(overrides, "three", "B", "user:ann") == "user"
    assert exceeded_limit(overrides, "two", "C", "user:ann") is None
    assert exceeded_limit(overrides, "one", "B", "user:bob") is None
    assert exceeded_limit(overrides, "one", "B") is None
    overrides.discard([2], 10)
    assert len(overrides) == 1
    assert exceeded_limit(overrides, "three", "B", "user:ann") is None


def test_the_limit_of_the_server_covers_all_users(monkeypatch) -> None:
    """Overrides without a user count too."""
    monkeypatch.setattr(subscription_overrides, "MAX_OVERRIDES", 2)
    overrides = SubscriptionOverrides()
    overrides.apply(change("one", "B", user="user:ann"), 1)
    overrides.apply(change("one", "B"), 2)
    assert exceeded_limit(overrides, "one", "B", "user:bob") == "server"
    assert exceeded_limit(overrides, "one", "C") is None


def test_entries_in_use_by_other_processes_stay() -> None:
    """KeepAlive events keep the override and the stored subscription of a reader that is connected elsewhere."""
    registry = SessionRegistry()
    registry.apply(change("ann", "B"), 1)
    registry.apply(change("bob", "B"), 2)
    for name in ("used", "unused"):
        registry.apply(SubscriptionStored(name, {"symbols": "A"}), 3)

    def expire(now: float, head: int) -> None:
        registry.remove_expired(now)
        registry.apply(
            OverridesExpired(registry.overrides.find_expired(now, head, head - 10, lambda _: False), head), head + 1
        )

    for second in range(0, 200, 20):
        expire(second, head=second + 3)
        registry.apply(KeepAlive(["ann"], ["used", "unknown"]), second + 5)
    assert (subscribed_symbols(registry.overrides, "ann"), subscribed_symbols(registry.overrides, "bob")) == (
        ("B",),
        ("A",),
    )
    assert (
        registry.stored_subscriptions.find_parameters("used"),
        registry.stored_subscriptions.find_parameters("unused"),
    ) == ({"symbols": "A"}, None)
    for now in (200, 200 + MAX_IDLE_S - 1, 200 + MAX_IDLE_S):
        expire(now, head=int(now) + 300 * (now > 200 + subscription_overrides.MIN_DISCONNECTED_S - 1))
    assert (len(registry.overrides), len(registry.stored_subscriptions)) == (0, 0)
