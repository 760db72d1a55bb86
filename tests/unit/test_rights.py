"""What is left of a subscription within somebody's rights, and what a token may say."""

from __future__ import annotations

from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickwire.errors import InputError, SettingsError
from tickwire.hub.control import Revoke
from tickwire.hub.names import Names
from tickwire.hub.revoked import Revoked
from tickwire.hub.rights import OPEN, Rights
from tickwire.hub.subscription import Subscription
from tickwire.server.claims import claims_of, rights_of
from tickwire.server.cors import Cors
from tickwire.server.proxies import Proxies
from tickwire.server.rates import MOST_KEPT, Rates
from tickwire.server.refusal import TooOften

SYMBOLS = st.text("ABC", min_size=1, max_size=4)
NAMES = st.lists(st.text("ABC*?", min_size=1, max_size=4), max_size=5)


def among(names: list[str], symbol: str) -> bool:
    """The plain meaning of a list of symbols and patterns."""
    return any(fnmatchcase(symbol, name) for name in names)


@given(NAMES, NAMES, st.lists(SYMBOLS, min_size=1, max_size=20))
def test_rights_narrow_exactly(asked, allowed, symbols) -> None:
    """A symbol is left if it was asked for and is allowed; neither more nor less, and twice is as once."""
    rights = Rights(symbols=Names(allowed))
    left = rights.narrowed(Subscription(asked))
    for symbol in symbols:
        assert left.takes(symbol) == (among(asked, symbol) and among(allowed, symbol)), left.describe()
    for again in (rights.narrowed(left), Subscription(**left.describe())):
        assert [again.takes(symbol) for symbol in symbols] == [left.takes(symbol) for symbol in symbols]


def test_readers_with_equal_rights_share_a_channel() -> None:
    """All of what is allowed is one subscription, whoever asks; with all rights nothing is made anew."""
    everything = Subscription()
    first, second = (Rights(user=user, symbols=Names(["A*", "B"])).narrowed(everything) for user in ("ann", "bob"))
    assert first == second == Subscription(["A*", "B"])
    assert OPEN.narrowed(everything) is everything


def test_rights_bound_events_and_pace_too() -> None:
    """The wider interval holds, and only allowed events are left; a filter stays as it is."""
    rights = Rights(events=("quote",), interval=500)
    left = rights.narrowed(Subscription(["A"], events=["quote", "message"], filter="last > 5", delivery="all"))
    assert (left.events, left.interval, left.delivery, str(left.screen)) == (("quote",), 500, "latest", "last > 5")
    assert rights.narrowed(Subscription(interval=1000)).interval == 1000


def test_candles_are_narrowed_with_the_rest() -> None:
    """The interval that was asked for stays, where candle events are allowed; without them there is none."""
    wanted = Subscription(["A*", "B"], events=["quote", "candle"], candles="5m")
    left = Rights(symbols=Names(["B"]), interval=500).narrowed(wanted)
    assert left == Subscription(["B"], events=["quote", "candle"], candles="5m", interval=500)
    assert Rights(events=("quote",)).narrowed(wanted) == Subscription(["A*", "B"])


CLAIMS = [
    ({"symbols": "A*"}, Rights(symbols=Names(["A*"]))),
    ({"symbols": ["A*", "B"]}, Rights(symbols=Names(["A*", "B"]))),
    ({"symbols": []}, Rights(symbols=Names([]))),
    ({"scope": "publish openid admin"}, Rights(scopes=frozenset({"publish", "admin"}))),
    ({"scope": ["messages"]}, Rights(scopes=frozenset({"messages"}))),
    ({"events": ["quote"]}, Rights(events=("quote",))),
    ({"delay": "15m", "interval": "250ms", "readers": 3}, Rights(delay=900, interval=250, readers=3)),
    ({"delay": 60, "sub": "ann", "jti": "7"}, Rights(delay=60, user="ann", token="7")),
    ({"iat": 5, "exp": 6.5}, Rights(issued=5.0, expires=6.5)),
]


@pytest.mark.parametrize(("claims", "rights"), CLAIMS)
def test_claims_are_rights(claims, rights) -> None:
    """What a token says is what its bearer may; said again it is the same."""
    assert rights_of(claims) == rights
    assert rights_of(claims_of(rights)) == rights


WRONG = [
    {"symbols": 5},
    {"symbols": [5]},
    {"symbols": ["A B"]},
    {"symbols": {"A": 1}},
    {"events": "quote,", "delay": "soon"},
    {"delay": -1},
    {"delay": True},
    {"delay": "99999h"},
    {"interval": 5},
    {"interval": "1h"},
    {"readers": -1},
    {"readers": 1.5},
    {"scope": 5},
    {"sub": 5},
    {"sub": ""},
    {"sub": "a\nb"},
    {"sub": "a" * 129},
    {"jti": []},
    {"exp": "soon"},
    {"exp": float("inf")},
    {"exp": float("nan")},
    {"exp": True},
    {"iat": -1},
]


@pytest.mark.parametrize("claims", WRONG, ids=str)
def test_a_claim_that_cannot_be_is_not_passed_over(claims) -> None:
    """Whoever meant to bound something must not grant everything by a slip."""
    with pytest.raises(InputError):
        rights_of(claims)


def test_what_is_revoked_is_refused_until_no_token_can_be_good() -> None:
    """A user's tokens issued until then, or one token whenever it was issued."""
    revoked = Revoked()
    revoked.take(Revoke("user:ann", 100.0, 200.0, 0))
    revoked.take(Revoke("token:7", 100.0, 300.0, 0))
    assert revoked.refuses(Rights(user="ann", issued=100.0))
    assert revoked.refuses(Rights(user="ann"))
    assert not revoked.refuses(Rights(user="ann", issued=101.0))
    assert revoked.refuses(Rights(user="bob", token="7", issued=101.0))
    assert not revoked.refuses(Rights(user="bob", token="8"))
    kept = Revoked()
    kept.restore(revoked.save())
    kept.forget(250.0)
    assert (len(kept), kept.refuses(Rights(token="7"))) == (1, True)


def test_rates_let_bursts_pass_and_then_the_rate() -> None:
    """Five seconds' worth at once; then each second as many as the rate says, and the answer says when."""
    rates = Rates(2, "requests")
    for _ in range(10):
        rates.take("a", 0.0)
    with pytest.raises(TooOften) as refused:
        rates.take("a", 0.0)
    assert refused.value.headers == {"retry-after": "1"}
    rates.take("b", 0.0)
    rates.take("a", 0.5)
    with pytest.raises(TooOften):
        rates.take("a", 0.5)
    for number in range(MOST_KEPT + 10):
        rates.take(str(number), 1.0)
    assert len(rates) == MOST_KEPT


def test_a_subscription_takes_its_events_from_any_iterable() -> None:
    """Once read, a generator is empty."""
    assert Subscription(events=iter(["status", "quote"])) == Subscription(events=["quote", "status"])


FORWARDED = [
    ("1.2.3.4", None, "1.2.3.4"),
    ("1.2.3.4", "9.9.9.9", "1.2.3.4"),  # not a proxy of ours: it may say what it likes
    ("10.0.0.1", "9.9.9.9", "9.9.9.9"),
    ("10.0.0.1", "6.6.6.6, 9.9.9.9, 10.0.0.2", "9.9.9.9"),  # what is left of the first stranger may be made up
    ("10.0.0.1", "6.6.6.6, nonsense, 10.0.0.2", "10.0.0.2"),
    ("10.0.0.1", None, "10.0.0.1"),
    ("::1", "2001:db8::7", "2001:db8::7"),
    ("::ffff:10.0.0.1", "9.9.9.9, ::ffff:10.0.0.2", "9.9.9.9"),  # as a socket for both kinds of addresses writes it
    ("::ffff:1.2.3.4", "9.9.9.9", "::ffff:1.2.3.4"),
]


@pytest.mark.parametrize(("peer", "header", "client"), FORWARDED)
def test_only_trusted_proxies_say_for_whom_they_ask(peer, header, client) -> None:
    """The client is the last address that a trusted proxy has seen."""
    headers = [] if header is None else [(b"x-forwarded-for", header.encode())]
    scope = {"client": (peer, 5), "headers": headers, "state": {}}
    Proxies("10.0.0.0/8, ::1").resolve(scope)
    assert scope["client"][0] == client


def test_what_is_no_network_or_origin_is_said_at_the_start() -> None:
    """With the setting's name."""
    with pytest.raises(SettingsError, match="--trusted-proxies"):
        Proxies("10.0.0.1/8")
    with pytest.raises(SettingsError, match="--cors"):
        Cors("example.org")
