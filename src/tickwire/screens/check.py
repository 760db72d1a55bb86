"""Whether a filter makes sense, and of what its percent literals are.

Conditions stand where conditions belong, known fields are compared with what they are, and constants are worked out. A
percent literal that meets a percent field (alone, or in abs, min, max, + and - with it) is that number; elsewhere it
is a hundredth of it.
"""

from __future__ import annotations

from math import isfinite

from tickwire.errors import FilterError
from tickwire.screens.fields import NUMBERS, PERCENT, TEXTS, nearest
from tickwire.screens.grammar import (
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
    fields_of,
)

_TEXT_SIGNS = ("=", "!=")


def checked(node: Node) -> Node:
    """The filter with known fields, plain numbers and constants worked out; FilterError where it makes no sense."""
    match node:
        case And() | Or():
            return type(node)(tuple(map(checked, node.parts)), node.at)
        case Not():
            return Not(checked(node.part), node.at)
        case Compare():
            return _compare(node)
        case In():
            return _in(node)
        case Between():
            return _between(node)
        case Like():
            return Like(_text_field(node.subject, "like a text"), node.pattern, node.at)
    raise _no_condition(node)


def _compare(node: Compare) -> Compare:
    if _is_text(node.left) or _is_text(node.right):
        return _compare_texts(node)
    left, right = _numbers((node.left, node.right))
    _speaks_of_fields(node, left, right)
    return Compare(node.sign, left, right, node.at)


def _compare_texts(node: Compare) -> Compare:
    left, right = node.left, node.right
    if isinstance(left, Text):
        left, right = right, left
    field = _text_field(left, "compared with a text", other=right)
    if node.sign not in _TEXT_SIGNS:
        raise FilterError(
            f"texts have no order: {node.sign} is for numbers", position=node.at, hint="use =, !=, in or like"
        )
    return Compare(node.sign, field, _text(right, field), node.at)


def _in(node: In) -> In:
    if _is_text(node.subject):
        field = _text_field(node.subject, "in a list of texts")
        return In(field, tuple(_text(item, field) for item in node.items), node.at)
    subject, *items = _numbers((node.subject, *node.items))
    for item in items:
        if not isinstance(item, Number):
            raise FilterError("a list holds constants", position=item.at, hint="compare with = and join with or")
    _speaks_of_fields(node, subject)
    return In(subject, tuple(items), node.at)


def _between(node: Between) -> Between:
    subject, low, high = _numbers((node.subject, node.low, node.high))
    _speaks_of_fields(node, subject, low, high)
    return Between(subject, low, high, node.at)


def _numbers(nodes: tuple[Node, ...]) -> list[Expression]:
    """The expressions that are compared with each other; percent literals among them are of what the others are."""
    percent = sum(map(_is_percent, nodes)) > 0  # not `any`: every one of them is looked at for errors
    return [_resolved(node, percent) for node in nodes]


def _is_percent(node: Node) -> bool:
    """Whether an expression's unit is the percent; FilterError where it is no number."""
    match node:
        case Number():
            return False
        case Field():
            return _number_field(node).name in PERCENT
        case Operation(sign="*"):
            left, right = map(_is_percent, node.parts)
            return left is not right
        case Operation(sign="/"):
            left, right = map(_is_percent, node.parts)
            return left and not right
        case Operation():
            return sum(map(_is_percent, node.parts)) > 0
        case Text():
            raise FilterError("a number is expected, not a text", position=node.at, hint=_unquoted(node))
    raise FilterError(
        "a number is expected, not a condition", position=node.at, hint="conditions are joined with and, or, not"
    )


def _resolved(node: Node, percent: bool) -> Expression:
    """The expression with plain numbers only, constants worked out."""
    if isinstance(node, Number):
        return Number(_hundredth(node.value) if node.percent and not percent else node.value + 0.0, at=node.at)
    if isinstance(node, Operation):
        units = [_is_percent(part) if node.sign in ("*", "/") else percent for part in node.parts]
        return _folded(Operation(node.sign, tuple(map(_resolved, node.parts, units)), node.at))
    if isinstance(node, Field):
        return node
    raise TypeError(f"{node} is no number")  # `_is_percent` has looked at every node


def _hundredth(value: float) -> float:
    """The double nearest to a hundredth of what was written: 0.7 % is 0.007, not 0.006999999999999999."""
    return float(f"{value!r}e-2") if "e" not in repr(value) else value / 100


def _folded(node: Operation) -> Expression:
    values = [part.value for part in node.parts if isinstance(part, Number)]
    if len(values) < len(node.parts):
        return node
    value = _worked_out(node.sign, values)
    if value is None or not isfinite(value):
        raise FilterError("this calculation has no result", position=node.at, hint="it divides by 0 or is too large")
    return Number(value + 0.0, at=node.at)  # + 0.0: there is one zero


def _worked_out(sign: str, values: list[float]) -> float | None:
    first, second = values[0], values[-1]
    match sign:
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
    return min(values) if sign == "min" else max(values)


def _is_text(node: Node) -> bool:
    return isinstance(node, Text) or (isinstance(node, Field) and node.name in TEXTS)


def _text(node: Node, field: Field) -> Text:
    if isinstance(node, Text):
        return node
    hint = f"{field.name} is a text"
    if isinstance(node, Field) and node.name not in (*NUMBERS, *TEXTS):
        hint = f'a text stands in quotes: "{node.name.upper()}"'
    raise FilterError("a text in quotes is expected", position=node.at, hint=hint)


def _text_field(node: Node, use: str, other: Node | None = None) -> Field:
    if isinstance(node, Field):
        if node.name in TEXTS:
            return node
        said = f"{_number_field(node).name} is a number and cannot be {use}"
        hint = _unquoted(other) or f"fields that are texts: {', '.join(TEXTS)}"
        raise FilterError(said, position=node.at, hint=hint)
    raise FilterError("a field that is a text is expected", position=node.at, hint=f"one of {', '.join(TEXTS)}")


def _number_field(node: Field) -> Field:
    if node.name in NUMBERS:
        return node
    if node.name in TEXTS:
        hint = f'compare it with a text: {node.name} = "..."'
        raise FilterError(f"{node.name} is a text, and a number is expected", position=node.at, hint=hint)
    near = nearest(node.name)
    hint = f"did you mean {near}?" if near else f"there are {', '.join((*NUMBERS, *TEXTS))}"
    raise FilterError(f"{node.name[:40]!r} is no field", position=node.at, hint=hint)


def _unquoted(node: Node | None) -> str | None:
    """A hint for a number that was put in quotes."""
    if isinstance(node, Text):
        try:
            float(node.value)
        except ValueError:
            return None
        return f"numbers have no quotes: {node.value[:20]}"
    return None


def _speaks_of_fields(node: Node, *parts: Expression) -> None:
    if not any(fields_of(part) for part in parts):
        raise FilterError("nothing here depends on a quote", position=node.at, hint="compare a field with something")


def _no_condition(node: Node) -> FilterError:
    if isinstance(node, Field):
        if node.name not in TEXTS:
            _number_field(node)
        example = f'{node.name} = "..."' if node.name in TEXTS else f"{node.name} > 0"
        return FilterError(f"{node.name} alone is no condition", position=node.at, hint=f"compare it: {example}")
    return FilterError("a condition is expected", position=node.at, hint="compare with =, <, >, in, between or like")
