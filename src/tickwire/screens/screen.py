"""A screen: a parsed and checked filter in its normal form."""

from __future__ import annotations

from functools import cached_property
from math import isnan

from tickwire.errors import FilterError
from tickwire.screens.analyzer import analyze
from tickwire.screens.compiler import CompiledFilter, compile_filter
from tickwire.screens.evaluator import evaluate
from tickwire.screens.explanation import ConditionResult, ScreenCost
from tickwire.screens.field_table import FieldTable
from tickwire.screens.fields import INSTRUMENT_NUMBER_FIELDS, TEXT_FIELDS
from tickwire.screens.normal_form import normalize, unparse
from tickwire.screens.parser import parse
from tickwire.screens.syntax_tree import And, Field, Node, Not, Operation, Or, children, field_names


class Screen:
    """A filter that selects quotes. Screens with the same normal form are equal. `str()` returns the normal form."""

    def __init__(self, condition: Node) -> None:
        self.condition = condition
        self.text = unparse(condition)
        self._hash = hash(self.text)

    def __str__(self) -> str:
        return self.text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Screen) and self.text == other.text

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def compiled(self) -> CompiledFilter:
        """The intervals and text conditions that the index evaluates."""
        return compile_filter(self.condition)

    @property
    def field_names(self) -> tuple[str, ...]:
        """The names of the fields that the screen reads, sorted."""
        return tuple(sorted(field_names(self.condition)))

    @property
    def is_constant(self) -> bool:
        """Whether the screen reads only reference data, so that its result for a symbol never changes."""
        return {*self.field_names} <= {*TEXT_FIELDS, *INSTRUMENT_NUMBER_FIELDS}

    @property
    def cost(self) -> ScreenCost:
        """The cost class: `bounds` if the screen compares only fields with constants, else `calculated`."""
        only_fields = all(isinstance(interval.expression, Field) for interval in self.compiled.intervals)
        return "bounds" if only_fields else "calculated"

    def explain(self, table: FieldTable) -> list[ConditionResult]:
        """Return the result of each single condition for one symbol. `table` must contain exactly one symbol."""
        return [_evaluate_condition(condition, table) for condition in _single_conditions(self.condition)]


def parse_screen(text: str) -> Screen:
    """Parse and check a filter. Raise FilterError if the filter is invalid; the error's `text` is the filter."""
    try:
        return Screen(normalize(analyze(parse(text))))
    except FilterError as error:
        error.text = text
        raise


def combine_screens(first: Screen | None, second: Screen | None) -> Screen | None:
    """Return the screen of the symbols that match both screens. None stands for all symbols."""
    if first is None or second is None:
        return second if first is None else first
    return Screen(normalize(And((first.condition, second.condition))))


def _single_conditions(node: Node) -> list[Node]:
    """List the conditions that are combined by `and` and `or`. `not` and its operand count as one condition."""
    if isinstance(node, And | Or):
        return [condition for operand in node.operands for condition in _single_conditions(operand)]
    return [node]


def _evaluate_condition(condition: Node, table: FieldTable) -> ConditionResult:
    return ConditionResult(
        unparse(condition),
        {unparse(expression): _read_value(expression, table) for expression in _compared_expressions(condition)},
        bool(table.match_mask(compile_filter(condition))[0]),
    )


def _compared_expressions(condition: Node) -> list[Node]:
    """List the fields and calculations that a single condition compares. The list contains no constants."""
    sides = children(condition.operand if isinstance(condition, Not) else condition)
    return [side for side in sides if isinstance(side, Field | Operation)]


def _read_value(expression: Node, table: FieldTable) -> float | str | None:
    if isinstance(expression, Field) and expression.name in TEXT_FIELDS:
        return table.texts(expression.name)[0]
    value = float(evaluate(expression, table.field_values)[0])
    return None if isnan(value) else value
