"""The syntax tree of a filter. The nodes are conditions and expressions.

    filter      = conjunction { "or" conjunction }
    conjunction = negation { "and" negation }
    negation    = "not" negation | comparison
    comparison  = sum [ ( "=" | "!=" | "<" | "<=" | ">" | ">=" ) sum
                      | [ "not" ] "in" "(" sum { "," sum } ")"
                      | [ "not" ] "between" sum "and" sum
                      | [ "not" ] "like" text ]
    sum         = product { ( "+" | "-" ) product }
    product     = unary { ( "*" | "/" ) unary }
    unary       = "-" unary | primary
    primary     = number | text | field | "(" filter ")" | ( "abs" | "min" | "max" ) "(" sum { "," sum } ")"

Conditions and expressions share one grammar, so that the parser needs no look-ahead after a parenthesis. The analyzer
distinguishes conditions from expressions. `position` is the index of a node in the text of the filter. Equality and
hashes ignore the position.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Number:
    """A number. `is_percent` is True for a literal such as 5%, which the analyzer replaces with a plain number."""

    value: float
    is_percent: bool = False
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Text:
    """A text constant."""

    value: str
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Field:
    """The name of a field of the quote or its instrument."""

    name: str
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Operation:
    """An arithmetic operation.

    The operators + - * / have two operands. `negative` and `abs` have one operand. `min` and `max` have two or more
    operands.
    """

    operator: str
    operands: tuple[Node, ...]
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Compare:
    """A comparison `left operator right`. The operator is one of = != < <= > >=."""

    operator: str
    left: Node
    right: Node
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class In:
    """The condition `subject in (items)`: the subject equals one of the items."""

    subject: Node
    items: tuple[Node, ...]
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Between:
    """The condition `subject between low and high`. The range includes both ends."""

    subject: Node
    low: Node
    high: Node
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Like:
    """The condition `subject like pattern`. In the pattern, % matches any characters, and _ matches one character."""

    subject: Node
    pattern: str
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Not:
    """The condition `not operand`."""

    operand: Node
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class And:
    """A condition that is true if all operands are true."""

    operands: tuple[Node, ...]
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Or:
    """A condition that is true if at least one operand is true."""

    operands: tuple[Node, ...]
    position: int = field(default=0, compare=False)


Expression: TypeAlias = Number | Text | Field | Operation
Condition: TypeAlias = Compare | In | Between | Like | Not | And | Or
Node: TypeAlias = Expression | Condition


def children(node: Node) -> tuple[Node, ...]:
    """Return the direct children of a node, in the order in which the filter contains them."""
    match node:
        case Operation() | And() | Or():
            return node.operands
        case Compare():
            return (node.left, node.right)
        case In():
            return (node.subject, *node.items)
        case Between():
            return (node.subject, node.low, node.high)
        case Like():
            return (node.subject,)
        case Not():
            return (node.operand,)
    return ()


def walk(node: Node) -> Iterator[tuple[Node, int]]:
    """Yield each node of a tree and its depth. The root has depth 1.

    The function is not recursive, so it has no depth limit.
    """
    pending = [(node, 1)]
    while pending:
        current, depth = pending.pop()
        yield current, depth
        pending += [(child, depth + 1) for child in children(current)]


def field_names(node: Node) -> set[str]:
    """Return the set of names of the fields in a syntax tree."""
    return {current.name for current, _ in walk(node) if isinstance(current, Field)}
