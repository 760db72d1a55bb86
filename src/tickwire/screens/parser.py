"""From a filter's text to its tree, by recursive descent; the grammar stands in `grammar`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from tickwire.errors import FilterError
from tickwire.screens.grammar import (
    And,
    Between,
    Compare,
    Field,
    In,
    Like,
    Node,
    Not,
    Number,
    Operation,
    Or,
    Text,
    walk,
)
from tickwire.screens.tokens import Token, tokens

MOST_DEPTH = 32  # the descent takes about nine calls a level, far below what Python's stack has
MOST_NODES = 500
_COMPARISONS = frozenset({"=", "!=", "<", "<=", ">", ">="})
_FUNCTIONS = ("abs", "min", "max")
T = TypeVar("T")


def parse(text: str) -> Node:
    """The tree of a filter, not yet checked for sense; FilterError says where it stops being one."""
    parser = _Parser(text)
    node = parser.whole()
    for place, (here, depth) in enumerate(walk(node)):
        if place >= MOST_NODES:
            raise FilterError(f"the filter has more than {MOST_NODES} parts", position=here.at)
        if depth > MOST_DEPTH:
            raise _too_deep(here.at)
    return node


class _Parser:
    """One text on its way; each method reads what it is named after."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = tokens(text)
        self._place = 0
        self._depth = 0

    def whole(self) -> Node:
        """The filter, to its end."""
        if self._now.kind == "end":
            raise FilterError("the filter is empty", position=0, hint="example: volume > 1M and change_rate > 5%")
        node = self._either()
        if self._now.kind != "end":
            raise self._leftover()
        return node

    def _either(self) -> Node:
        return self._joined("or", self._both, Or)

    def _both(self) -> Node:
        return self._joined("and", self._negation, And)

    def _joined(self, word: str, part: Callable[[], Node], kind: type[And | Or]) -> Node:
        at = self._now.at
        parts = [part()]
        while self._takes(word):
            parts.append(part())
        return parts[0] if len(parts) == 1 else kind(tuple(parts), at)

    def _negation(self) -> Node:
        at = self._now.at
        return Not(self._deeper(self._negation), at) if self._takes("not") else self._comparison()

    def _comparison(self) -> Node:
        begin = self._place
        left = self._sum()
        sign = self._now
        if sign.value in _COMPARISONS and sign.kind == "sign":
            self._place += 1
            middle = self._place
            right = self._sum()
            if self._now.kind == "sign" and self._now.value in _COMPARISONS:
                raise self._chain(begin, middle)
            return Compare(str(sign.value), left, right, sign.at)
        if self._is("not") and self._ahead.kind == "keyword" and self._ahead.value in ("in", "between", "like"):
            self._place += 1
            return Not(self._worded(left), sign.at)
        return self._worded(left)

    def _worded(self, subject: Node) -> Node:
        at = self._now.at
        if self._takes("in"):
            return In(subject, self._list("in"), at)
        if self._takes("between"):
            low = self._sum()
            if not self._takes("and"):
                raise self._unexpected("and with the upper end", hint="example: pe between 10 and 25")
            return Between(subject, low, self._sum(), at)
        if self._takes("like"):
            pattern = self._next()
            if pattern.kind != "text":
                raise self._unexpected("a pattern in quotes", pattern, hint='example: symbol like "BRK.%"')
            return Like(subject, str(pattern.value), at)
        return subject

    def _list(self, after: str) -> tuple[Node, ...]:
        if not self._takes("("):
            raise self._unexpected(f"( after {after}", hint='example: symbol in ("AAPL", "MSFT")' * (after == "in"))
        items = [self._sum()]
        while self._takes(","):
            items.append(self._sum())
        self._close("a comma or )")
        return tuple(items)

    def _sum(self) -> Node:
        return self._chained(("+", "-"), self._product)

    def _product(self) -> Node:
        return self._chained(("*", "/"), self._sign)

    def _chained(self, signs: tuple[str, str], part: Callable[[], Node]) -> Node:
        node = part()
        while self._now.kind == "sign" and self._now.value in signs:
            sign = self._next()
            node = Operation(sign.text, (node, part()), sign.at)
        return node

    def _sign(self) -> Node:
        at = self._now.at
        if self._takes("-"):
            return Operation("negative", (self._deeper(self._sign),), at)
        return self._primary()

    def _primary(self) -> Node:
        token = self._next()
        if token.kind == "number":
            return Number(float(token.value), token.text.endswith("%"), token.at)
        if token.kind == "text":
            return Text(str(token.value), token.at)
        if token.kind == "name":
            return self._call(token) if self._is("(") else Field(str(token.value), token.at)
        if token.value == "(" and token.kind == "sign":
            node = self._deeper(self._either)
            self._close(")")
            return node
        raise self._unexpected("a field, a number or (", token)

    def _call(self, name: Token) -> Node:
        if name.value not in _FUNCTIONS:
            hint = f"there are {', '.join(_FUNCTIONS)}"
            raise FilterError(f"{name.text[:40]!r} is no function", position=name.at, hint=hint)
        parts = self._deeper(lambda: self._list(str(name.value)))
        if name.value == "abs" and len(parts) != 1:
            raise FilterError(f"abs takes one number, not {len(parts)}", position=name.at)
        if name.value != "abs" and len(parts) < 2:
            raise FilterError(f"{name.value} takes two numbers or more", position=name.at)
        return Operation(str(name.value), parts, name.at)

    def _deeper(self, part: Callable[[], T]) -> T:
        if self._depth >= MOST_DEPTH:
            raise _too_deep(self._now.at)
        self._depth += 1
        node = part()
        self._depth -= 1
        return node

    @property
    def _now(self) -> Token:
        return self._tokens[self._place]

    @property
    def _ahead(self) -> Token:
        return self._tokens[min(self._place + 1, len(self._tokens) - 1)]

    def _next(self) -> Token:
        token = self._now
        if token.kind != "end":
            self._place += 1
        return token

    def _is(self, word: str) -> bool:
        return self._now.kind in ("keyword", "sign") and self._now.value == word

    def _takes(self, word: str) -> bool:
        taken = self._is(word)
        self._place += taken
        return taken

    def _close(self, expected: str) -> None:
        if not self._takes(")"):
            raise self._unexpected(expected)

    def _unexpected(self, expected: str, token: Token | None = None, hint: str = "") -> FilterError:
        token = token or self._now
        said = (
            f"expected {expected}, found {token.text[:40]}" if token.text else f"the filter ends, expected {expected}"
        )
        return FilterError(said, position=token.at, hint=hint or None)

    def _leftover(self) -> FilterError:
        hint = "a parenthesis is closed that was not opened" if self._is(")") else "join conditions with and, or"
        return self._unexpected("and, or, or the end", hint=hint)

    def _chain(self, begin: int, middle: int) -> FilterError:
        """What is wrong with `1 < last < 5`, and how it would be written."""
        words = self._tokens
        left, sign = self._slice(begin, middle - 1), words[middle - 1].text
        shared, second = self._slice(middle, self._place), self._now
        hint = f"write {left} {sign} {shared} and {shared} {second.text} ..., or use between"
        return FilterError("comparisons cannot be chained", position=second.at, hint=hint)

    def _slice(self, begin: int, end: int) -> str:
        text = self._text[self._tokens[begin].at : self._tokens[end - 1].end]
        return text if len(text) <= 40 else "..."


def _too_deep(at: int) -> FilterError:
    return FilterError(f"the filter is nested deeper than {MOST_DEPTH} levels", position=at)
