"""The conversion of a token's claims to rights."""

from __future__ import annotations

import pytest

from tickwire.errors import InputError
from tickwire.server.auth.claims import _CLAIM_NAMES, claims_from_rights, rights_from_claims
from tickwire.sessions.rights import Rights
from tickwire.sessions.symbol_set import SymbolSet

CLAIMS = [
    ({"symbols": "A*"}, Rights(symbols=SymbolSet(["A*"]))),
    ({"symbols": ["A*", "B"]}, Rights(symbols=SymbolSet(["A*", "B"]))),
    ({"symbols": []}, Rights(symbols=SymbolSet([]))),
    ({"scope": "publish openid admin"}, Rights(scopes=frozenset({"publish", "admin"}))),
    ({"scope": ["messages"]}, Rights(scopes=frozenset({"messages"}))),
    ({"events": ["quote"]}, Rights(events=("quote",))),
    ({"delay": "15m", "interval": "250ms", "readers": 3}, Rights(delay=900, interval=250, readers=3)),
    ({"delay": 60, "sub": "ann", "jti": "7"}, Rights(delay=60, user="ann", token="7")),
    ({"iat": 5, "exp": 6.5}, Rights(issued=5.0, expires=6.5)),
]


@pytest.mark.parametrize(("claims", "rights"), CLAIMS)
def test_claims_become_rights_and_back(claims, rights) -> None:
    assert rights_from_claims(claims) == rights
    assert rights_from_claims(claims_from_rights(rights)) == rights


INVALID_CLAIMS = [
    {"symbols": 5},
    {"symbols": [5]},
    {"symbols": ["A|B"]},
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
    *({name: None} for name in _CLAIM_NAMES),
]


@pytest.mark.parametrize("claims", INVALID_CLAIMS, ids=str)
def test_an_invalid_claim_is_rejected(claims) -> None:
    """A mistake in a restricting claim must not grant all rights."""
    with pytest.raises(InputError):
        rights_from_claims(claims)
