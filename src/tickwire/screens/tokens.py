"""A filter's text as tokens."""

from __future__ import annotations

import re
from math import isinf
from typing import NamedTuple

from tickwire.errors import FilterError

MOST_CHARACTERS = 4_000  # a watchlist of some hundred symbols; a URL takes no more either
KEYWORDS = frozenset({"and", "or", "not", "in", "between", "like"})
_TOKEN = re.compile(
    r"""(?P<space>\s+)
    |(?P<number>(?P<digits>[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE](?P<exponent>[+-]?[0-9]+))?(?P<suffix>%|[A-Za-z_0-9]*))
    |(?P<text>"(?:[^"]|"")*"|'(?:[^']|'')*')
    |(?P<name>[A-Za-z_][A-Za-z_0-9]*)
    |(?P<sign><=|>=|<>|!=|==|[<>=+\-*/(),])""",
    re.VERBOSE,
)
_SUFFIXES = {"": 0, "k": 3, "m": 6, "b": 9, "t": 12, "%": 0}
_SAME = {"==": "=", "<>": "!="}
_INSTEAD = {
    "&": "and", "|": "or", "!": "not", "[": "(", "{": "(", "]": ")", "}": ")", "“": '"', "”": '"', "„": '"', "‘": "'",
    "’": "'", "`": '"', "−": "-", "–": "-", "×": "*", "·": "*", "÷": "/", "≥": ">=", "≤": "<=", "≠": "!=",
}  # fmt: skip
_HINTS = {".": "fields have no fields: write their names alone", "%": "it stands right behind a number: 5%"}


class Token(NamedTuple):
    """A word of a filter: `kind` is number, text, name, keyword, sign or end; `text` as it was written."""

    kind: str
    text: str
    at: int
    value: float | str = ""

    @property
    def end(self) -> int:
        """Where the next one may begin."""
        return self.at + len(self.text)


def tokens(text: str) -> list[Token]:
    """The words of a filter and an end; FilterError for what is none."""
    if len(text) > MOST_CHARACTERS:
        raise FilterError(f"the filter is longer than {MOST_CHARACTERS} characters", position=MOST_CHARACTERS)
    found, at = [], 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise _foreign(text, at)
        if match.lastgroup != "space":
            found.append(_token(match))
        at = match.end()
    return [*found, Token("end", "", len(text))]


def _token(match: re.Match[str]) -> Token:
    kind, text, at = match.lastgroup or "", match[0], match.start()
    if match["number"]:
        return Token("number", text, at, _number(match))
    if kind == "text":
        return Token(kind, text, at, text[1:-1].replace(text[0] * 2, text[0]))
    if kind == "name":
        word = text.lower()
        return Token("keyword" if word in KEYWORDS else "name", text, at, word)
    return Token(kind, text, at, _SAME.get(text, text))


def _number(match: re.Match[str]) -> float:
    """The value: the suffix moves the decimal exponent, so that 1.1M is the double nearest to 1100000."""
    suffix = match["suffix"].lower()
    if suffix not in _SUFFIXES:
        hint = "a number may end in %, K, M, B or T, or have an exponent: 1e6"
        raise FilterError(f"{match[0][:40]!r} is not a number", position=match.start("suffix"), hint=hint)
    value = float(f"{match['digits']}e{int(match['exponent'] or 0) + _SUFFIXES[suffix]}")
    if isinf(value):
        raise FilterError("this number is too large", position=match.start(), hint="numbers go up to 1.7e308")
    return value


def _foreign(text: str, at: int) -> FilterError:
    character = text[at]
    if character in "\"'":
        return FilterError("this text has no closing quote", position=at, hint=f"end it with {character}")
    instead = _INSTEAD.get(character)
    hint = _HINTS.get(character, f"write {instead}" if instead else None)
    return FilterError(f"{character!r} is no part of the filter language", position=at, hint=hint)
