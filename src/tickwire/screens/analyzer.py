"""Check the types in a filter, and replace percent literals and constant expressions with plain numbers.

The analysis checks that conditions and expressions are in valid places, that every field exists, and that both sides of
a comparison have the same type.

A percent field stores 5 percent as 5. So the literal 5% becomes 5 if one side of its comparison is in percent. In any
other comparison, the literal 5% becomes 0.05. A side is in percent if it is a percent field, or is calculated from
percent fields with abs, min, max, + or -. The product of a percent field and a plain number, and the quotient, are also
in percent.
"""

from __future__ import annotations

from math import isfinite

from tickwire.errors import FilterError
from tickwire.screens.fields import NUMBER_FIELDS, PERCENT_FIELDS, TEXT_FIELDS, suggest_field
from tickwire.screens.syntax_tree import (
    And,
    Between,
    Compare,
    Expression,
    Field,
    In,
    Like,
    Node,
    Not,
    Number,
    Operation,
    Or,
    Text,
    field_names,
)

_TEXT_OPERATORS = ("=", "!=")


def analyze(node: Node) -> Node:
    """Return the filter with plain numbers in place of percent literals and constant expressions.

    Raise FilterError if the filter is invalid.
    """
    match node:
        case And() | Or():
            return type(node)(tuple(map(analyze, node.operands)), node.position)
        case Not():
            return Not(analyze(node.operand), node.position)
        case Compare():
            return _analyze_comparison(node)
        case In():
            return _analyze_in(node)
        case Between():
            return _analyze_between(node)
        case Like():
            return Like(_require_text_field(node.subject, "matched with like"), node.pattern, node.position)
    raise _not_a_condition(node)


def analyze_expression(node: Node) -> Expression:
    """Return an expression of numbers with plain numbers in place of percent literals and constant expressions.

    Raise FilterError if the expression is invalid, or if it contains no field.
    """
    (expression,) = _resolve_numbers((node,))
    if not field_names(expression):
        raise FilterError("the order contains no field", position=node.position, hint="example: change_rate desc")
    return expression


def _analyze_comparison(node: Compare) -> Compare:
    if _is_text(node.left) or _is_text(node.right):
        return _analyze_text_comparison(node)
    left, right = _resolve_numbers((node.left, node.right))
    _require_field_reference(node, left, right)
    return Compare(node.operator, left, right, node.position)


def _analyze_text_comparison(node: Compare) -> Compare:
    left, right = node.left, node.right
    if isinstance(left, Text):
        left, right = right, left
    field = _require_text_field(left, "compared with a text", other=right)
    if node.operator not in _TEXT_OPERATORS:
        raise FilterError(
            f"a text cannot be compared with the operator '{node.operator}'",
            position=node.position,
            hint="use the operator '=', '!=', 'in' or 'like'",
        )
    return Compare(node.operator, field, _require_text(right, field), node.position)


def _analyze_in(node: In) -> In:
    if _is_text(node.subject):
        field = _require_text_field(node.subject, "in a list of texts")
        return In(field, tuple(_require_text(item, field) for item in node.items), node.position)
    subject, *items = _resolve_numbers((node.subject, *node.items))
    for item in items:
        if not isinstance(item, Number):
            raise FilterError(
                "a list can contain only constants",
                position=item.position,
                hint="replace the list with one comparison for each element, and join the comparisons with 'or'",
            )
    _require_field_reference(node, subject)
    return In(subject, tuple(items), node.position)


def _analyze_between(node: Between) -> Between:
    subject, low, high = _resolve_numbers((node.subject, node.low, node.high))
    _require_field_reference(node, subject, low, high)
    return Between(subject, low, high, node.position)


def _resolve_numbers(nodes: tuple[Node, ...]) -> list[Expression]:
    """Replace the percent literals and constant expressions in one comparison with plain numbers.

    `nodes` are the operands of the comparison. If one of them is in percent, 5% becomes 5. Otherwise, 5%
    becomes 0.05.
    """
    # Use `sum` instead of `any`, which would stop at the first percent field. Every node must be checked for errors.
    in_percent = sum(map(_has_percent_unit, nodes)) > 0
    return [_resolve_number(node, in_percent) for node in nodes]


def _has_percent_unit(node: Node) -> bool:
    """Return True if the unit of an expression is percent. Raise FilterError if the expression is not a number."""
    match node:
        case Number():
            return False
        case Field():
            return _require_number_field(node).name in PERCENT_FIELDS
        case Operation(operator="*"):
            left, right = map(_has_percent_unit, node.operands)
            return left is not right
        case Operation(operator="/"):
            left, right = map(_has_percent_unit, node.operands)
            return left and not right
        case Operation():
            return sum(map(_has_percent_unit, node.operands)) > 0
        case Text():
            raise FilterError("expected a number, not a text", position=node.position, hint=_unquoted_number_hint(node))
    hint = "combine conditions with 'and', 'or' or 'not'"
    raise FilterError("expected a number, not a condition", position=node.position, hint=hint)


def _resolve_number(node: Node, in_percent: bool) -> Expression:
    """Replace the percent literals and constant parts of an expression with plain numbers.

    `in_percent` is True if the unit of the expression is percent.
    """
    if isinstance(node, Number):
        value = _hundredth(node.value) if node.is_percent and not in_percent else node.value + 0.0
        return Number(value, position=node.position)
    if isinstance(node, Operation):
        units = [_has_percent_unit(part) if node.operator in ("*", "/") else in_percent for part in node.operands]
        operands = tuple(map(_resolve_number, node.operands, units))
        return _fold_constants(Operation(node.operator, operands, node.position))
    if isinstance(node, Field):
        return node
    # Other types of nodes cannot occur here, because `_has_percent_unit` rejects them.
    raise TypeError(f"{node} is not a number")


def _hundredth(value: float) -> float:
    """Divide the number in a percent literal by 100, and return the nearest double.

    So 0.7% becomes 0.007, not 0.006999999999999999.
    """
    return float(f"{value!r}e-2") if "e" not in repr(value) else value / 100


def _fold_constants(node: Operation) -> Expression:
    values = [part.value for part in node.operands if isinstance(part, Number)]
    if len(values) < len(node.operands):
        return node
    value = _calculate_constant(node.operator, values)
    if value is None or not isfinite(value):
        raise FilterError(
            "the calculation divides by 0, or its result is too large",
            position=node.position,
            hint="use other numbers in this calculation",
        )
    # Add 0.0, because this turns -0.0 into 0.0.
    return Number(value + 0.0, position=node.position)


def _calculate_constant(operator: str, values: list[float]) -> float | None:
    first, second = values[0], values[-1]
    match operator:
        case "+":
            return first + second
        case "-":
            return first - second
        case "*":
            return first * second
        case "/":
            return first / second if second else None
        case "negative":
            return -first
        case "abs":
            return abs(first)
    return min(values) if operator == "min" else max(values)


def _is_text(node: Node) -> bool:
    return isinstance(node, Text) or (isinstance(node, Field) and node.name in TEXT_FIELDS)


def _require_text(node: Node, field: Field) -> Text:
    if isinstance(node, Text):
        return node
    hint = f"{field.name} is a text field"
    if isinstance(node, Field) and node.name not in (*NUMBER_FIELDS, *TEXT_FIELDS):
        hint = f'put texts in quotes: "{node.name.upper()}"'
    raise FilterError("expected a text in quotes", position=node.position, hint=hint)


def _require_text_field(node: Node, use: str, other: Node | None = None) -> Field:
    if isinstance(node, Field):
        if node.name in TEXT_FIELDS:
            return node
        message = f"{_require_number_field(node).name} is a number and cannot be {use}"
        hint = _unquoted_number_hint(other) or f"the text fields are {', '.join(TEXT_FIELDS)}"
        raise FilterError(message, position=node.position, hint=hint)
    raise FilterError("expected a text field", position=node.position, hint=f"choose one of {', '.join(TEXT_FIELDS)}")


def _require_number_field(node: Field) -> Field:
    if node.name in NUMBER_FIELDS:
        return node
    if node.name in TEXT_FIELDS:
        hint = f'compare the field with a text: {node.name} = "..."'
        raise FilterError(f"expected a number, but {node.name} is a text", position=node.position, hint=hint)
    suggestion = suggest_field(node.name)
    names = ", ".join((*NUMBER_FIELDS, *TEXT_FIELDS))
    hint = f"did you mean {suggestion}?" if suggestion else f"choose one of {names}"
    raise FilterError(f"unknown field {node.name[:40]!r}", position=node.position, hint=hint)


def _unquoted_number_hint(node: Node | None) -> str | None:
    """Return a hint if the node is a number in quotes, else None."""
    if isinstance(node, Text):
        try:
            float(node.value)
        except ValueError:
            return None
        return f"write numbers without quotes: {node.value[:20]}"
    return None


def _require_field_reference(node: Node, *parts: Expression) -> None:
    if not any(field_names(part) for part in parts):
        raise FilterError("the comparison contains no field", position=node.position, hint="example: last > 5")


def _not_a_condition(node: Node) -> FilterError:
    if isinstance(node, Field):
        if node.name not in TEXT_FIELDS:
            _require_number_field(node)
        example = f'{node.name} = "..."' if node.name in TEXT_FIELDS else f"{node.name} > 0"
        hint = f"compare the field with a value: {example}"
        return FilterError(f"{node.name} is not a condition", position=node.position, hint=hint)
    hint = "write a comparison with '=', '<', '>', 'in', 'between' or 'like'"
    return FilterError("expected a condition", position=node.position, hint=hint)
