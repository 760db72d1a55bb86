"""Convert the claims of a token to the rights of a client, and rights to claims."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any

from tickwire.core.timestamps import duration_s
from tickwire.errors import FilterError, InputError
from tickwire.screens.screen import Screen, parse_screen
from tickwire.sessions.rights import SCOPES, Rights
from tickwire.sessions.subscription import parse_interval, parse_symbols
from tickwire.sessions.symbol_set import SymbolSet

MAX_TOKEN_SYMBOLS = 10_000
_CLAIM_NAMES = (
    "sub", "jti", "symbols", "filter", "events", "scope", "readers", "interval", "delay", "iat", "exp", "nbf", "iss",
    "aud",
)  # fmt: skip
_MAX_TEXT_LENGTH = 128
MAX_DELAY_S = 86_400


def rights_from_claims(claims: Mapping[str, Any]) -> Rights:
    """Return the rights that the claims of a token describe. Raise InputError if a claim is invalid.

    A missing claim sets no limit. For example, a token without `symbols` allows all symbols. Every operation except
    reading requires a word in `scope`. The function ignores unknown words in `scope`. A claim with the value null is
    invalid, because null could mean either no limit or no rights.
    """
    _reject_null_claims(claims)
    events = claims.get("events")
    return Rights(
        user=_read_text(claims, "sub"),
        token=_read_text(claims, "jti"),
        symbols=_read_symbols(claims.get("symbols", "*")),
        filter=_read_filter(claims["filter"]) if "filter" in claims else None,
        events=None if events is None else tuple(_split_words(events, "events", ",")),
        scopes=frozenset(_split_words(claims.get("scope", ""), "scope", " ")) & frozenset(SCOPES),
        readers=_read_reader_limit(claims, "readers"),
        interval=_read_interval(claims.get("interval", "0")),
        delay=parse_delay(claims.get("delay", 0)),
        issued=read_numeric_date(claims, "iat"),
        expires=read_numeric_date(claims, "exp"),
    )


def _reject_null_claims(claims: Mapping[str, Any]) -> None:
    for name in _CLAIM_NAMES:
        if name in claims and claims[name] is None:
            raise InputError(f"invalid {name}: the value is null; omit the claim instead", field=name)


def claims_from_rights(rights: Rights) -> dict[str, Any]:
    """Return the claims of a token with these rights. `rights_from_claims` converts the claims back to equal rights."""
    claims: dict[str, Any] = {
        "sub": rights.user,
        "jti": rights.token,
        "symbols": list(rights.symbols.symbols_and_patterns),
        "filter": None if rights.filter is None else str(rights.filter),
        "events": None if rights.events is None else list(rights.events),
        "scope": " ".join(sorted(rights.scopes)),
        "readers": rights.readers,
        "interval": f"{rights.interval}ms" if rights.interval else "0",
        "delay": rights.delay,
        "iat": rights.issued,
        "exp": rights.expires,
    }
    return {name: value for name, value in claims.items() if value is not None}


def read_numeric_date(claims: Mapping[str, Any], name: str) -> float | None:
    """Return the time in a claim (RFC 7519, NumericDate) in seconds since the Unix epoch.

    Return None if the claim is missing.
    """
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e11 or not isfinite(value):
        raise InputError(f"invalid {name} {value!r:.40}: expected seconds since 1970", field=name)
    return float(value)


def parse_delay(value: object) -> int:
    """Return the delay of market data in seconds.

    `value` is a text such as `15m`, `90s` or `1h`, or a number of seconds. Raise InputError if `value` is invalid, or
    if the delay is longer than MAX_DELAY_S.
    """
    if isinstance(value, str) and (seconds := duration_s(value, "smh")) is not None and seconds.is_integer():
        value = int(seconds)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_DELAY_S:
        raise InputError(f"invalid delay {value!r:.40}: expected a time such as 15m, at most one day", field="delay")
    return value


def _read_symbols(value: object) -> SymbolSet:
    names = _split_words(value, "symbols", ",")
    return SymbolSet(parse_symbols(names, max_symbols=MAX_TOKEN_SYMBOLS))


def _read_filter(value: object) -> Screen:
    if not isinstance(value, str):
        raise InputError(f'invalid filter {value!r:.40}: expected a text such as exchange = "NYSE"', field="filter")
    try:
        # Also parse the normal form of the filter, because a ticket contains the normal form.
        return parse_screen(str(parse_screen(value)))
    except FilterError as error:
        raise InputError(f"invalid filter: {error}", field="filter", hint=error.hint) from None


def _split_words(value: object, name: str, separator: str) -> list[str]:
    """Return the words in a claim: a list of words, or a text in which `separator` separates the words."""
    words = value.split(separator) if isinstance(value, str) else value
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise InputError(f"invalid {name} {value!r:.40}: expected a list of words", field=name)
    return [word.strip() for word in words if word.strip()]


def _read_text(claims: Mapping[str, Any], name: str) -> str | None:
    value = claims.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or not 0 < len(value) <= _MAX_TEXT_LENGTH or not value.isprintable():
        raise InputError(
            f"invalid {name} {value!r:.40}: expected 1 to {_MAX_TEXT_LENGTH} printable characters", field=name
        )
    return value


def _read_reader_limit(claims: Mapping[str, Any], name: str) -> int:
    value = claims.get(name, 0)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise InputError(f"invalid {name} {value!r:.40}: expected a number of readers, or 0 for no limit", field=name)
    return value


def _read_interval(value: object) -> int:
    if not isinstance(value, str):
        raise InputError(f"invalid interval {value!r:.40}: expected a text such as 250ms", field="interval")
    return parse_interval(value)
