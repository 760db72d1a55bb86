"""The symbols that a feed subscribes for its readers."""

from __future__ import annotations

import random

from tickwire.feeds.symbol_demand import LINGER_S, SymbolDemand


def test_a_symbol_lingers_after_its_last_reader() -> None:
    demand = SymbolDemand(10)
    assert demand.update({"A", "B"}, 0.0) == ["A", "B"]
    assert demand.update({"B"}, 1.0) == ["A", "B"]
    assert demand.update({"B"}, LINGER_S - 0.1) == ["A", "B"]
    assert demand.update({"B"}, LINGER_S + 0.1) == ["B"]
    # A reader that returns in time prolongs the subscription.
    demand.update({"A"}, 100.0)
    demand.update({"A"}, 100.0 + LINGER_S - 1)
    assert demand.update(set(), 100.0 + 2 * LINGER_S - 2) == ["A"]
    assert demand.update(set(), 100.0 + 2 * LINGER_S) == []


def test_a_wanted_symbol_replaces_one_that_lingers() -> None:
    demand = SymbolDemand(2)
    demand.update({"A", "B"}, 0.0)
    demand.update({"B"}, 10.0)
    assert demand.update({"B", "C"}, 11.0) == ["B", "C"]
    assert demand.unserved_count == 0
    # All subscribed symbols are wanted now.
    assert demand.update({"B", "C", "D", "E"}, 12.0) == ["B", "C"]
    assert demand.unserved_count == 2
    assert demand.update({"C", "D"}, 12.0 + LINGER_S) == ["C", "D"]


def test_random_readers() -> None:
    """Wanted symbols are subscribed while there is room. No symbol stays longer than LINGER_S after its last reader."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng, demand, wanted_at = random.Random(seed), SymbolDemand(12), dict[str, float]()
    for step in range(500):
        now_s = step * 5.0
        wanted = {f"S{rng.randrange(20)}" for _ in range(rng.randrange(14))}
        wanted_at |= dict.fromkeys(wanted, now_s)
        subscribed = demand.update(wanted, now_s)
        assert len(subscribed) == len({*subscribed}) <= 12
        assert demand.unserved_count == len(wanted - {*subscribed})
        assert not demand.unserved_count or len(subscribed) == 12
        assert all(now_s - wanted_at[symbol] < LINGER_S for symbol in subscribed)
