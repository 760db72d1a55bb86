"""A ranking: the order of the symbols in a top-N screen, and the number of symbols in the screen."""

from __future__ import annotations

import re
from math import isnan, nan

import numpy as np

from tickwire.core.quote import Quote
from tickwire.errors import FilterError, InputError
from tickwire.screens.analyzer import analyze_expression
from tickwire.screens.evaluator import evaluate
from tickwire.screens.fields import INSTRUMENT_NUMBER_FIELDS, QUOTE_NUMBER_FIELDS
from tickwire.screens.normal_form import normalize_expression, unparse
from tickwire.screens.parser import parse
from tickwire.screens.syntax_tree import Node

# The maximum number of symbols in a top-N screen. A reader that resumes receives the quotes of the whole screen in one
# write: about 35 KB for this number.
MAX_TOP = 100

_DIRECTION = re.compile(r"\s(asc|desc)\s*$", re.IGNORECASE)


class Ranking:
    """The first `top` symbols by the value of an expression. Rankings with the same normal form are equal.

    `order` is the normal form of the order, such as `change_rate desc`.
    """

    def __init__(self, expression: Node, top: int, *, is_descending: bool) -> None:
        self.expression = expression
        self.top = top
        self.is_descending = is_descending
        self.order = f"{unparse(expression)} {'desc' if is_descending else 'asc'}"
        self._hash = hash((self.order, top))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ranking) and (self.order, self.top) == (other.order, other.top)

    def __hash__(self) -> int:
        return self._hash

    def __repr__(self) -> str:
        return f"Ranking({self.order!r}, top={self.top})"

    def value(self, quote: Quote) -> float | None:
        """Return the value by which the ranking orders a quote, or None if the quote lacks one of the fields.

        A quote has no fields of its instrument, such as `shares`.
        """
        numbers = [getattr(quote, name) for name in QUOTE_NUMBER_FIELDS] + [None] * len(INSTRUMENT_NUMBER_FIELDS)
        column = np.array([[nan if number is None else number] for number in numbers], dtype=float)
        value = float(evaluate(self.expression, column)[0])
        return None if isnan(value) else value


def parse_ranking(order: str, top: int) -> Ranking:
    """Parse an order such as `change_rate desc`: an expression of numbers, and `asc` (the default) or `desc`.

    Raise FilterError if the order is invalid; the error's `text` is the order. Raise InputError if the order is empty,
    or if `top` is not between 1 and MAX_TOP.
    """
    if not 1 <= top <= MAX_TOP:
        raise InputError(f"invalid top {top}: choose a number from 1 to {MAX_TOP}", field="top")
    direction = _DIRECTION.search(order)
    expression = order if direction is None else order[: direction.start()]
    if not expression.strip():
        raise InputError("the order is empty", field="order", hint="example: change_rate desc")
    try:
        node = normalize_expression(analyze_expression(parse(expression)))
    except FilterError as error:
        error.text, error.field = order, "order"
        raise
    return Ranking(node, top, is_descending=direction is not None and direction[1].lower() == "desc")
