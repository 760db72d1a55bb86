"""Rights, and the part of a subscription that they allow."""

from __future__ import annotations

from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickwire.sessions.rights import UNRESTRICTED_RIGHTS, Rights
from tickwire.sessions.subscription import Subscription
from tickwire.sessions.symbol_set import SymbolSet

SYMBOLS = st.text("ABC", min_size=1, max_size=4)
NAMES = st.lists(st.text("ABC*?", min_size=1, max_size=4), max_size=5)


def is_listed(names: list[str], symbol: str) -> bool:
    return any(fnmatchcase(symbol, name) for name in names)


@given(NAMES, NAMES, st.lists(SYMBOLS, min_size=1, max_size=20))
def test_rights_restrict_exactly(requested, allowed, symbols) -> None:
    """The result includes exactly the symbols that are requested and allowed. A second restriction changes nothing."""
    rights = Rights(symbols=SymbolSet(allowed))
    restricted = rights.restrict(Subscription(requested))
    for symbol in symbols:
        assert restricted.includes(symbol) == (is_listed(requested, symbol) and is_listed(allowed, symbol)), (
            restricted.describe()
        )
    for again in (rights.restrict(restricted), Subscription(**restricted.describe())):
        assert [again.includes(symbol) for symbol in symbols] == [restricted.includes(symbol) for symbol in symbols]


def test_readers_with_equal_rights_share_a_subscription() -> None:
    """Unrestricted rights return the same subscription object."""
    everything = Subscription()
    first, second = (Rights(user=user, symbols=SymbolSet(["A*", "B"])).restrict(everything) for user in ("ann", "bob"))
    assert first == second == Subscription(["A*", "B"])
    assert UNRESTRICTED_RIGHTS.restrict(everything) is everything


def test_rights_restrict_events_and_interval() -> None:
    """The longer interval applies. The filter does not change."""
    rights = Rights(events=("quote",), interval=500)
    restricted = rights.restrict(Subscription(["A"], events=["quote", "message"], filter="last > 5", delivery="all"))
    assert (restricted.events, restricted.interval_ms, restricted.delivery, str(restricted.screen)) == (
        ("quote",),
        500,
        "latest",
        "last > 5",
    )
    assert rights.restrict(Subscription(interval=1000)).interval_ms == 1000


def test_rights_restrict_candles() -> None:
    """If candle events are allowed, the requested candle interval does not change."""
    requested = Subscription(["A*", "B"], events=["quote", "candle"], candles="5m")
    restricted = Rights(symbols=SymbolSet(["B"]), interval=500).restrict(requested)
    assert restricted == Subscription(["B"], events=["quote", "candle"], candles="5m", interval=500)
    assert Rights(events=("quote",)).restrict(requested) == Subscription(["A*", "B"])


@pytest.mark.parametrize(
    ("rights", "bearer"),
    [
        (Rights(user="ann", token="t"), "user:ann"),
        (Rights(token="t"), "token:t"),
        (Rights(), "10.0.0.1"),
        (Rights(user="ann", scopes=frozenset({"admin"})), None),
    ],
)
def test_the_bearer_is_the_user_or_else_the_token_or_else_the_address(rights, bearer) -> None:
    """An admin has no bearer, because limits do not apply to admins."""
    assert rights.bearer("10.0.0.1") == bearer
    assert Rights().bearer("") is None


LONG_FILTER = " and ".join(f"last > {number}.00000001" for number in range(60))
LONG_ORDER = f"max({', '.join(f'last - {number}.00000001' for number in range(60))})"


@pytest.mark.parametrize(
    ("requested", "is_cached"),
    [
        (Subscription(filter="last > 1"), True),
        (Subscription(filter=LONG_FILTER), False),
        (Subscription(order="last", top=1), True),
        (Subscription(order=LONG_ORDER, top=1), False),
    ],
)
def test_only_results_with_short_filters_are_cached(requested, is_cached) -> None:
    """With long filters, the cache could occupy more than 100 MB."""
    rights = Rights(symbols=SymbolSet(["A"]))
    first, second = rights.restrict(requested), rights.restrict(requested)
    assert first == second
    assert (first is second) == is_cached
