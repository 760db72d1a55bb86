"""Parse a filter into its syntax tree, by recursive descent. The grammar is in `syntax_tree`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from tickwire.errors import FilterError
from tickwire.screens.fields import CHINESE_FIELD_NAMES
from tickwire.screens.lexer import Token, tokenize
from tickwire.screens.syntax_tree import (
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

# The maximum depth of a filter. Each level of nesting adds about nine nested Python calls, so the deepest filter stays
# far below Python's recursion limit.
MAX_DEPTH = 32
MAX_NODES = 500
_COMPARISON_OPERATORS = frozenset({"=", "!=", "<", "<=", ">", ">="})
_FUNCTIONS = ("abs", "min", "max")
T = TypeVar("T")


def parse(text: str) -> Node:
    """Return the syntax tree of a filter, without checking types. Raise FilterError at the first syntax error."""
    parser = _Parser(text)
    tree = parser.parse_filter()
    for index, (node, depth) in enumerate(walk(tree)):
        if index >= MAX_NODES:
            raise FilterError(f"the filter has more than {MAX_NODES} parts", position=node.position)
        if depth > MAX_DEPTH:
            raise _too_deep(node.position)
    return tree


class _Parser:
    """Parses one filter. A `_parse` method parses one part of the filter, and advances to the token after this part."""

    def __init__(self, text: str) -> None:
        self._source = text
        self._tokens = tokenize(text)
        self._token_index = 0
        self._depth = 0

    def parse_filter(self) -> Node:
        if self._current.kind == "end":
            raise FilterError("the filter is empty", position=0, hint="example: volume > 1M and change_rate > 5%")
        node = self._parse_or()
        if self._current.kind != "end":
            raise self._trailing_input()
        return node

    def _parse_or(self) -> Node:
        return self._parse_junction("or", self._parse_and, Or)

    def _parse_and(self) -> Node:
        return self._parse_junction("and", self._parse_not, And)

    def _parse_junction(self, keyword: str, parse_operand: Callable[[], Node], node_type: type[And | Or]) -> Node:
        position = self._current.position
        operands = [parse_operand()]
        while self._accept(keyword):
            operands.append(parse_operand())
        return operands[0] if len(operands) == 1 else node_type(tuple(operands), position)

    def _parse_not(self) -> Node:
        position = self._current.position
        if self._accept("not"):
            return Not(self._parse_nested(self._parse_not), position)
        return self._parse_comparison()

    def _parse_comparison(self) -> Node:
        left_index = self._token_index
        left = self._parse_sum()
        operator = self._current
        if operator.value in _COMPARISON_OPERATORS and operator.kind == "operator":
            self._token_index += 1
            right_index = self._token_index
            right = self._parse_sum()
            if self._current.kind == "operator" and self._current.value in _COMPARISON_OPERATORS:
                raise self._chained_comparison(left_index, right_index)
            return Compare(str(operator.value), left, right, operator.position)
        if (
            self._current_is("not")
            and self._lookahead.kind == "keyword"
            and self._lookahead.value in ("in", "between", "like")
        ):
            self._token_index += 1
            return Not(self._parse_keyword_comparison(left), operator.position)
        return self._parse_keyword_comparison(left)

    def _parse_keyword_comparison(self, subject: Node) -> Node:
        position = self._current.position
        if self._accept("in"):
            return In(subject, self._parse_list("in"), position)
        if self._accept("between"):
            low = self._parse_sum()
            if not self._accept("and"):
                raise self._unexpected_token("'and' before the upper bound", hint="example: pe between 10 and 25")
            return Between(subject, low, self._parse_sum(), position)
        if self._accept("like"):
            pattern = self._advance()
            if pattern.kind != "text":
                raise self._unexpected_token("a pattern in quotes", pattern, hint='example: symbol like "BRK.%"')
            return Like(subject, str(pattern.value), position)
        return subject

    def _parse_list(self, opener: str) -> tuple[Node, ...]:
        if not self._accept("("):
            raise self._unexpected_token(
                f"'(' after {opener!r}", hint='example: symbol in ("AAPL", "MSFT")' * (opener == "in")
            )
        items = [self._parse_sum()]
        while self._accept(","):
            items.append(self._parse_sum())
        self._expect_closing("',' or ')'")
        return tuple(items)

    def _parse_sum(self) -> Node:
        return self._parse_operator_chain(("+", "-"), self._parse_product)

    def _parse_product(self) -> Node:
        return self._parse_operator_chain(("*", "/"), self._parse_unary)

    def _parse_operator_chain(self, operators: tuple[str, str], parse_operand: Callable[[], Node]) -> Node:
        node = parse_operand()
        while self._current.kind == "operator" and self._current.value in operators:
            operator = self._advance()
            node = Operation(operator.text, (node, parse_operand()), operator.position)
        return node

    def _parse_unary(self) -> Node:
        position = self._current.position
        if self._accept("-"):
            return Operation("negative", (self._parse_nested(self._parse_unary),), position)
        return self._parse_primary()

    def _parse_primary(self) -> Node:
        token = self._advance()
        if token.kind == "number":
            return Number(float(token.value), token.text.endswith("%"), token.position)
        if token.kind == "text":
            return Text(str(token.value), token.position)
        if token.kind == "name":
            return self._parse_call(token) if self._current_is("(") else _parse_field(token)
        if token.value == "(" and token.kind == "operator":
            node = self._parse_nested(self._parse_or)
            self._expect_closing("')'")
            return node
        raise self._unexpected_token("a field, a number or '('", token)

    def _parse_call(self, name: Token) -> Node:
        if name.value not in _FUNCTIONS:
            hint = f"choose one of {', '.join(_FUNCTIONS)}"
            raise FilterError(f"unknown function {name.text[:40]!r}", position=name.position, hint=hint)
        arguments = self._parse_nested(lambda: self._parse_list(str(name.value)))
        if name.value == "abs" and len(arguments) != 1:
            raise FilterError(f"abs needs one argument, not {len(arguments)}", position=name.position)
        if name.value != "abs" and len(arguments) < 2:
            raise FilterError(f"{name.value} needs at least two arguments", position=name.position)
        return Operation(str(name.value), arguments, name.position)

    def _parse_nested(self, parse_rule: Callable[[], T]) -> T:
        """Call `parse_rule` to parse a part of the filter that is one nesting level deeper.

        Raise FilterError if there are more than MAX_DEPTH levels. Because of this limit, Python's stack never
        overflows.
        """
        if self._depth >= MAX_DEPTH:
            raise _too_deep(self._current.position)
        self._depth += 1
        node = parse_rule()
        self._depth -= 1
        return node

    @property
    def _current(self) -> Token:
        return self._tokens[self._token_index]

    @property
    def _lookahead(self) -> Token:
        return self._tokens[min(self._token_index + 1, len(self._tokens) - 1)]

    def _advance(self) -> Token:
        token = self._current
        if token.kind != "end":
            self._token_index += 1
        return token

    def _current_is(self, word: str) -> bool:
        return self._current.kind in ("keyword", "operator") and self._current.value == word

    def _accept(self, word: str) -> bool:
        """If the current token is `word`, advance to the next token and return True. Otherwise return False."""
        is_word = self._current_is(word)
        self._token_index += is_word
        return is_word

    def _expect_closing(self, expected: str) -> None:
        if not self._accept(")"):
            raise self._unexpected_token(expected)

    def _unexpected_token(self, expected: str, token: Token | None = None, hint: str = "") -> FilterError:
        token = token or self._current
        message = f"expected {expected}, " + (f"found {token.text[:40]!r}" if token.text else "but the filter ends")
        return FilterError(message, position=token.position, hint=hint or None)

    def _trailing_input(self) -> FilterError:
        hint = "this ')' has no matching '('" if self._current_is(")") else "join conditions with 'and' or 'or'"
        return self._unexpected_token("'and', 'or' or the end", hint=hint)

    def _chained_comparison(self, left_index: int, right_index: int) -> FilterError:
        """Return the error for a chained comparison such as `1 < last < 5`.

        The error shows the same condition without a chain.
        """
        left = self._source_text(left_index, right_index - 1)
        right = self._source_text(right_index, self._token_index)
        first, second = self._tokens[right_index - 1], self._current
        hint = f"write {left} {first.text} {right} and {right} {second.text} ..., or use between"
        return FilterError("comparisons cannot be chained", position=second.position, hint=hint)

    def _source_text(self, first_token: int, end_token: int) -> str:
        text = self._source[self._tokens[first_token].position : self._tokens[end_token - 1].end]
        return text if len(text) <= 40 else "..."


def _too_deep(position: int) -> FilterError:
    return FilterError(f"the filter is nested deeper than {MAX_DEPTH} levels", position=position)


def _parse_field(token: Token) -> Field:
    name = str(token.value)
    return Field(CHINESE_FIELD_NAMES.get(name, name), token.position)
