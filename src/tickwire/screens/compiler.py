"""Compile filters to the form that the index of screens evaluates.

The compiler turns each comparison of numbers into an interval. The comparison is true if the compared value, a field or
a calculation, is inside the interval. A strict comparison excludes its constant, so the interval ends at the adjacent
double. The compiler does not change text conditions. The index evaluates a text condition once for each symbol, because
the texts of a symbol never change. The `shape` of a filter is an and/or/not expression over its intervals and its text
conditions.

For example, `volume >= 1M and change_rate >= 5%` has two intervals: [1000000, MAX_FLOAT] for volume, and [5, MAX_FLOAT]
for change_rate. The shape is ("and", 0, 1).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, nextafter
from typing import NamedTuple, TypeAlias

import numpy as np

from tickwire.core.arrays import Bools
from tickwire.core.text_column import LIKE, NO_WILDCARDS, TextColumn, parse_pattern
from tickwire.screens.evaluator import DIFFERENCE, MAX_FLOAT
from tickwire.screens.syntax_tree import And, Compare, Field, In, Like, Node, Not, Number, Operation, Or, Text

FilterShape: TypeAlias = "int | tuple[str | FilterShape, ...]"
"""A leaf, or a tuple of an operator ("and", "or" or "not") and the shapes of its operands.

A leaf is an integer: i >= 0 stands for interval i, and i < 0 stands for text condition ~i.
"""


class Interval(NamedTuple):
    """The condition `low <= value <= high`. A missing value does not satisfy the condition.

    An open end is -MAX_FLOAT or MAX_FLOAT.
    """

    expression: Node
    low: float
    high: float


class CompiledFilter(NamedTuple):
    """The form of a filter that the index of screens evaluates.

    `shape` is the and/or/not expression over the intervals and the text conditions.
    """

    shape: FilterShape
    intervals: tuple[Interval, ...]
    text_conditions: tuple[Node, ...]


def compile_filter(condition: Node) -> CompiledFilter:
    """Compile a filter that is in normal form."""
    leaves = _LeafCollector()
    shape = leaves.build_shape(condition)
    return CompiledFilter(shape, tuple(leaves.intervals), tuple(leaves.text_conditions))


def evaluate_shape(shape: FilterShape, intervals: Sequence[Bools], texts: Sequence[Bools]) -> Bools:
    """Evaluate the and/or/not expression `shape` for many pairs of a screen and a symbol.

    Return a boolean array with one result for each pair. `intervals[i]` is a boolean array with the results of interval
    i, and `texts[i]` is a boolean array with the results of text condition i. Index k of every array belongs to pair k.
    """
    if isinstance(shape, int):
        return intervals[shape] if shape >= 0 else texts[~shape]
    operator, *operands = shape
    # All elements after the operator are shapes, too.
    result, *others = (evaluate_shape(operand, intervals, texts) for operand in operands)  # type: ignore[arg-type]
    if operator == "not":
        return ~result
    join = np.logical_and if operator == "and" else np.logical_or
    for other in others:
        result = join(result, other)
    return result


def text_field(condition: Node) -> str:
    """Return the name of the field that a text condition tests."""
    match condition:
        case Compare(left=Field(name=name)) | In(subject=Field(name=name)) | Like(subject=Field(name=name)):
            return name
    raise TypeError(f"{condition} is not a text condition")


def match_texts(condition: Node, column: TextColumn, first: int = 0, end: int | None = None) -> Bools:
    """Test a text condition with the texts from row `first` to row `end` - 1.

    If `end` is None, the last row is the end of the column.

    Return a boolean array with one element for each text. An element is True if the text satisfies the condition. A
    missing text satisfies no condition.
    """
    match condition:
        case Compare(operator=operator, right=Text(value=value)):
            equal = column.evaluate(parse_pattern(value, NO_WILDCARDS), first, end)
            return equal if operator == "=" else column.present(first, end) & ~equal
        case In(items=items):
            return column.equal_to_any(frozenset(item.value for item in items if isinstance(item, Text)), first, end)
        case Like(pattern=pattern):
            return column.evaluate(parse_pattern(pattern, LIKE), first, end)
    raise TypeError(f"{condition} is not a text condition")


def allowed_texts(condition: Node) -> tuple[str, frozenset[str]] | None:
    """Return the field that a text condition compares, and the texts that satisfy the condition.

    Return None for an operator other than `=` and `in`.
    """
    match condition:
        case Compare(operator="=", left=Field(name=name), right=Text(value=value)):
            return name, frozenset({value})
        case In(subject=Field(name=name), items=items):
            return name, frozenset(item.value for item in items if isinstance(item, Text))
    return None


def _comparison_interval(node: Node) -> Interval | None:
    """Return the interval for a comparison of numbers. Return None for `!=` and for all other conditions."""
    if not isinstance(node, Compare) or isinstance(node.right, Text) or node.operator == "!=":
        return None
    value, bound = _split_constant(node)
    match node.operator:
        case "=":
            return Interval(value, bound, bound)
        case ">" | ">=":
            return Interval(value, nextafter(bound, inf) if node.operator == ">" else bound, MAX_FLOAT)
    return Interval(value, -MAX_FLOAT, nextafter(bound, -inf) if node.operator == "<" else bound)


def _split_constant(node: Compare) -> tuple[Node, float]:
    """Return the expression on the left side of a comparison, and the constant on the right side.

    If the right side is not a constant, return the expression `left - right` and the constant 0.
    """
    if isinstance(node.right, Number):
        return node.left, node.right.value
    return Operation(DIFFERENCE, (node.left, node.right)), 0.0


class _LeafCollector:
    """Builds the and/or/not expression (shape) of a filter, and collects the intervals and text conditions."""

    def __init__(self) -> None:
        self.intervals: list[Interval] = []
        self.text_conditions: list[Node] = []

    def build_shape(self, node: Node) -> FilterShape:
        match node:
            case Or():
                return ("or", *map(self.build_shape, node.operands))
            case And():
                return self._build_conjunction(node.operands)
            case Not():
                return ("not", self.build_shape(node.operand))
            case Compare(operator="!=", right=Number() | Field() | Operation()):
                value, bound = _split_constant(node)
                present, equal = Interval(value, -MAX_FLOAT, MAX_FLOAT), Interval(value, bound, bound)
                return ("and", self._add_interval(present), ("not", self._add_interval(equal)))
            case In(subject=value, items=(Number(), *_)):
                constants = (item.value for item in node.items if isinstance(item, Number))
                return ("or", *(self._add_interval(Interval(value, constant, constant)) for constant in constants))
        interval = _comparison_interval(node)
        return self._add_text_condition(node) if interval is None else self._add_interval(interval)

    def _build_conjunction(self, operands: tuple[Node, ...]) -> FilterShape:
        """Build the shape (the and/or/not expression) of an `and`.

        Intervals over the same field or calculation become one interval. The intervals come before all other operands.
        As a result, more filters have the same shape, and one numpy operation can test all of these filters.
        """
        intervals: dict[Node, Interval] = {}
        others = []
        for operand in operands:
            interval = _comparison_interval(operand)
            if interval is None:
                others.append(operand)
            else:
                value = interval.expression
                intervals[value] = _intersect(intervals.get(value, interval), interval)
        leaves = [*map(self._add_interval, intervals.values()), *map(self.build_shape, others)]
        return leaves[0] if len(leaves) == 1 else ("and", *leaves)

    def _add_interval(self, interval: Interval) -> int:
        self.intervals.append(interval)
        return len(self.intervals) - 1

    def _add_text_condition(self, condition: Node) -> int:
        self.text_conditions.append(condition)
        return ~(len(self.text_conditions) - 1)


def _intersect(left: Interval, right: Interval) -> Interval:
    return Interval(left.expression, max(left.low, right.low), min(left.high, right.high))
