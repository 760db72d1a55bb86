"""Split the text of a filter into tokens."""

from __future__ import annotations

import re
from math import isinf
from typing import NamedTuple

from tickwire.errors import FilterError

# The maximum length of a filter. A filter of this length can list several hundred symbols. A filter is part of a URL,
# and proxies limit the length of a URL.
MAX_FILTER_CHARACTERS = 4_000
KEYWORDS = frozenset({"and", "or", "not", "in", "between", "like"})
_CHINESE_KEYWORDS = {"且": "and", "或": "or", "非": "not"}
_TOKEN_PATTERN = re.compile(
    r"""(?P<space>\s+)
    |(?P<number>(?P<digits>[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE](?P<exponent>[+-]?[0-9]+))?(?P<suffix>%|[A-Za-z_0-9万亿]*))
    |(?P<text>"(?:[^"]|"")*"|'(?:[^']|'')*')
    |(?P<keyword>[且或非])
    |(?P<name>[A-Za-z_\u4e00-\u9fff](?:(?![且或非])[A-Za-z_0-9\u4e00-\u9fff])*)
    |(?P<operator><=|>=|<>|!=|==|[<>=+\-*/(),])""",
    re.VERBOSE,
)
_SUFFIX_EXPONENTS = {"": 0, "k": 3, "m": 6, "b": 9, "t": 12, "万": 4, "亿": 8, "%": 0}
_OPERATOR_ALIASES = {"==": "=", "<>": "!="}
_REPLACEMENTS = {
    "&": "and", "|": "or", "!": "not", "[": "(", "{": "(", "]": ")", "}": ")", "“": '"', "”": '"', "„": '"', "‘": "'",
    "’": "'", "`": '"', "−": "-", "–": "-", "×": "*", "·": "*", "÷": "/", "≥": ">=", "≤": "<=", "≠": "!=",
    "＞": ">", "＜": "<", "＝": "=", "％": "%", "（": "(", "）": ")", "，": ",", "＋": "+", "－": "-",
}  # fmt: skip
_CHARACTER_HINTS = {".": "write the name of the field alone", "%": "write % directly after a number: 5%"}


class Token(NamedTuple):
    """A token of a filter.

    `kind` is number, text, name, keyword, operator or end. Parentheses and commas are operators. `text` is the token as
    written in the filter. `value` is the parsed token: the number, the text without quotes, or the word in lower case.
    """

    kind: str
    text: str
    position: int
    value: float | str = ""

    @property
    def end(self) -> int:
        """The position after the last character of the token."""
        return self.position + len(self.text)


def tokenize(text: str) -> list[Token]:
    """Return the tokens of a filter, followed by an `end` token. Raise FilterError at the first invalid character."""
    if len(text) > MAX_FILTER_CHARACTERS:
        raise FilterError(
            f"the filter is longer than {MAX_FILTER_CHARACTERS} characters", position=MAX_FILTER_CHARACTERS
        )
    tokens, position = [], 0
    while position < len(text):
        match = _TOKEN_PATTERN.match(text, position)
        if match is None:
            raise _unexpected_character(text, position)
        if match.lastgroup != "space":
            tokens.append(_build_token(match))
        position = match.end()
    return [*tokens, Token("end", "", len(text))]


def _build_token(match: re.Match[str]) -> Token:
    kind, text, position = match.lastgroup or "", match[0], match.start()
    if match["number"]:
        return Token("number", text, position, _parse_number(match))
    if kind == "text":
        return Token(kind, text, position, text[1:-1].replace(text[0] * 2, text[0]))
    if kind == "keyword":
        return Token(kind, text, position, _CHINESE_KEYWORDS[text])
    if kind == "name":
        word = text.lower()
        return Token("keyword" if word in KEYWORDS else "name", text, position, word)
    return Token(kind, text, position, _OPERATOR_ALIASES.get(text, text))


def _parse_number(match: re.Match[str]) -> float:
    """Return the value of a number such as 1.1M.

    A suffix is converted to an exponent, so that 1.1M is exactly 1100000.
    """
    suffix = match["suffix"].lower()
    if suffix not in _SUFFIX_EXPONENTS:
        hint = "end a number with %, K, M, B, T, 万 or 亿, or use an exponent: 1e6"
        raise FilterError(f"invalid number {match[0][:40]!r}", position=match.start("suffix"), hint=hint)
    value = float(f"{match['digits']}e{int(match['exponent'] or 0) + _SUFFIX_EXPONENTS[suffix]}")
    if isinf(value):
        hint = "write a number of at most 1.7e308"
        raise FilterError(f"the number {match[0][:40]!r} is too large", position=match.start(), hint=hint)
    return value


def _unexpected_character(text: str, position: int) -> FilterError:
    character = text[position]
    if character in "\"'":
        return FilterError("missing closing quote", position=position, hint=f"end the text with {character}")
    replacement = _REPLACEMENTS.get(character)
    hint = _CHARACTER_HINTS.get(character, f"write {replacement}" if replacement else None)
    return FilterError(f"unexpected character {character!r}", position=position, hint=hint)
