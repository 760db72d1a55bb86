"""What a token says, as rights; and rights, as what a token says."""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import isfinite
from typing import Any

from tickwire.errors import InputError
from tickwire.hub.names import Names
from tickwire.hub.rights import SCOPES, Rights
from tickwire.hub.subscription import parse_interval, parse_symbols

MOST_SYMBOLS = 10_000
_TEXT_LENGTH = 128
_DELAY = re.compile(r"(\d{1,5})([smh])", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3600}
MOST_DELAY = 86_400


def rights_in(claims: Mapping[str, Any]) -> Rights:
    """The rights that a token's claims spell; InputError names the claim that cannot be.

    What a token does not say it does not bound: without `symbols` all may be read, without `events` all kinds. But it
    grants nothing beyond reading: `scope` names what may be done (words that mean nothing here are passed over).
    """
    events = claims.get("events")
    return Rights(
        user=_text(claims, "sub"),
        token=_text(claims, "jti"),
        symbols=_symbols(claims.get("symbols", "*")),
        events=None if events is None else tuple(_words(events, "events", ",")),
        scopes=frozenset(_words(claims.get("scope", ""), "scope", " ")) & frozenset(SCOPES),
        readers=_count(claims, "readers"),
        interval=_interval(claims.get("interval", "0")),
        delay=parse_delay(claims.get("delay", 0)),
        issued=moment(claims, "iat"),
        expires=moment(claims, "exp"),
    )


def claims_of(rights: Rights) -> dict[str, Any]:
    """The claims that spell these rights."""
    claims: dict[str, Any] = {
        "sub": rights.user,
        "jti": rights.token,
        "symbols": list(rights.symbols.all),
        "events": None if rights.events is None else list(rights.events),
        "scope": " ".join(sorted(rights.scopes)),
        "readers": rights.readers,
        "interval": f"{rights.interval}ms" if rights.interval else "0",
        "delay": rights.delay,
        "iat": rights.issued,
        "exp": rights.expires,
    }
    return {name: value for name, value in claims.items() if value is not None}


def moment(claims: Mapping[str, Any], name: str) -> float | None:
    """A time in seconds since the Unix epoch; None where the claim is not there."""
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e11 or not isfinite(value):
        raise InputError(f"{name} is a time in seconds since 1970", field=name)
    return float(value)


def parse_delay(value: object) -> int:
    """Seconds from `15m`, `90s`, `1h` or a number of seconds; InputError for anything else."""
    match = _DELAY.fullmatch(value) if isinstance(value, str) else None
    seconds = int(match[1]) * _SECONDS[match[2]] if match else value
    if isinstance(seconds, bool) or not isinstance(seconds, int) or not 0 <= seconds <= MOST_DELAY:
        raise InputError("delay: up to a day, such as 15m", field="delay")
    return seconds


def _symbols(value: object) -> Names:
    names = _words(value, "symbols", ",")
    return Names(parse_symbols(names, most=MOST_SYMBOLS))


def _words(value: object, name: str, separator: str) -> list[str]:
    """A list of words, or one text with something between them."""
    words = value.split(separator) if isinstance(value, str) else value
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise InputError(f"{name} is a list of words", field=name)
    return [word.strip() for word in words if word.strip()]


def _text(claims: Mapping[str, Any], name: str) -> str | None:
    value = claims.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or not 0 < len(value) <= _TEXT_LENGTH or not value.isprintable():
        raise InputError(f"{name}: 1 to {_TEXT_LENGTH} printable characters", field=name)
    return value


def _count(claims: Mapping[str, Any], name: str) -> int:
    value = claims.get(name, 0)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise InputError(f"{name} is a number of readers, 0 for any", field=name)
    return value


def _interval(value: object) -> int:
    if not isinstance(value, str):
        raise InputError("interval: a text such as 250ms", field="interval")
    return parse_interval(value)
