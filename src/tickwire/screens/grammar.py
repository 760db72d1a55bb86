"""What a filter is made of: a tree of conditions over expressions.

    filter     = either
    either     = both { "or" both }
    both       = negation { "and" negation }
    negation   = "not" negation | comparison
    comparison = sum [ ( "=" | "!=" | "<" | "<=" | ">" | ">=" ) sum
                     | [ "not" ] "in" "(" sum { "," sum } ")"
                     | [ "not" ] "between" sum "and" sum
                     | [ "not" ] "like" text ]
    sum        = product { ( "+" | "-" ) product }
    product    = sign { ( "*" | "/" ) sign }
    sign       = "-" sign | primary
    primary    = number | text | field | "(" either ")" | ( "abs" | "min" | "max" ) "(" sum { "," sum } ")"

Conditions and expressions share one grammar, so that a parenthesis needs no look ahead; `check` tells them apart. `at`
is where a node stands in the filter's text, and no part of what it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Number:
    """A constant. With `percent` it is still to be seen of what: `check` turns it into a plain one."""

    value: float
    percent: bool = False
    at: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Text:
    """A text in quotes."""

    value: str
    at: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Field:
    """A field of the quote or its instrument, by name."""

    name: str
    at: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Operation:
    """Arithmetic: `sign` is one of + - * / (two parts), negative, abs (one), min, max (any number)."""

    sign: str
    parts: tuple[Node, ...]
    at: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Compare:
    """`left sign right`, sign being one of = != < <= > >=."""

    sign: str
    left: Node
    right: Node
    at: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class In:
    """`subject in (items)`."""

    subject: Node
    items: tuple[Node, ...]
    at: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Between:
    """`subject between low and high`, both ends included."""

    subject: Node
    low: Node
    high: Node
    at: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Like:
    """`subject like pattern`: % stands for any characters, _ for one."""

    subject: Node
    pattern: str
    at: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Not:
    """`not part`."""

    part: Node
    at: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class And:
    """All of the parts."""

    parts: tuple[Node, ...]
    at: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Or:
    """At least one of the parts."""

    parts: tuple[Node, ...]
    at: int = field(default=0, compare=False)


Expression: TypeAlias = Number | Text | Field | Operation
Condition: TypeAlias = Compare | In | Between | Like | Not | And | Or
Node: TypeAlias = Expression | Condition


def children(node: Node) -> tuple[Node, ...]:
    """The nodes directly below."""
    match node:
        case Operation() | And() | Or():
            return node.parts
        case Compare():
            return (node.left, node.right)
        case In():
            return (node.subject, *node.items)
        case Between():
            return (node.subject, node.low, node.high)
        case Like():
            return (node.subject,)
        case Not():
            return (node.part,)
    return ()


def walk(node: Node) -> Iterator[tuple[Node, int]]:
    """Every node with its depth, from 1 on; without recursion, so that no depth is too much."""
    waiting = [(node, 1)]
    while waiting:
        here, depth = waiting.pop()
        yield here, depth
        waiting += [(child, depth + 1) for child in children(here)]


def fields_of(node: Node) -> set[str]:
    """The names of the fields below a node."""
    return {here.name for here, _ in walk(node) if isinstance(here, Field)}
