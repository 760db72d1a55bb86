"""A filter as intervals: what the index works with.

Each comparison of numbers says that some value, a field or something calculated, lies within an interval; a strict
bound is the next double. Conditions on texts are kept as they are: for a symbol they never change. What is left of the
filter is its `shape`: how those are joined. `volume >= 1M and change_rate >= 5%` has the intervals volume
[1000000, LARGEST] and change_rate [5, LARGEST], and the shape ("and", 0, 1).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fnmatch import translate
from math import inf, nextafter
from re import compile as pattern
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tickwire.screens.arithmetic import DIFFERENCE, LARGEST
from tickwire.screens.grammar import And, Compare, Field, In, Like, Node, Not, Number, Operation, Or, Text

Bools: TypeAlias = NDArray[np.bool_]
Shape: TypeAlias = "int | tuple[str | Shape, ...]"
"""A leaf, or ("and" | "or" | "not", shapes...). Leaf i >= 0 is interval i; leaf i < 0 is text condition ~i."""


class Interval(NamedTuple):
    """`low <= value <= high`, which a missing value is not. One without a bound has -LARGEST or LARGEST there."""

    value: Node
    low: float
    high: float


class Form(NamedTuple):
    """A compiled filter."""

    shape: Shape
    intervals: tuple[Interval, ...]
    texts: tuple[Node, ...]


def compiled(condition: Node) -> Form:
    """The form of a filter in normal form."""
    made = _Making()
    shape = made.shape(condition)
    return Form(shape, tuple(made.intervals), tuple(made.texts))


def holds(shape: Shape, intervals: Sequence[Bools], texts: Sequence[Bools]) -> Bools:
    """Where the shape is true, given where each of its leaves is."""
    if isinstance(shape, int):
        return intervals[shape] if shape >= 0 else texts[~shape]
    word, *parts = shape
    first, *others = (holds(part, intervals, texts) for part in parts)  # type: ignore[arg-type]  # shapes after the word
    if word == "not":
        return ~first
    join = np.logical_and if word == "and" else np.logical_or
    for other in others:
        first = join(first, other)
    return first


def text_test(condition: Node) -> tuple[str, Callable[[str | None], bool]]:
    """The field that a condition on a text looks at, and the test; a missing text passes none."""
    listed = listed_texts(condition)
    match condition:
        case _ if listed is not None:
            return listed[0], listed[1].__contains__
        case Compare(left=Field(name=name), right=Text(value=value)):
            return name, lambda text: text is not None and text != value
        case Like(subject=Field(name=name), pattern=wild):
            matcher = _pattern(wild)
            return name, lambda text: text is not None and matcher(text) is not None
    raise TypeError(f"{condition} is no condition on a text")


def listed_texts(condition: Node) -> tuple[str, frozenset[str]] | None:
    """The field, and the texts that it takes, of a condition that lists them: = and `in`."""
    match condition:
        case Compare(sign="=", left=Field(name=name), right=Text(value=value)):
            return name, frozenset({value})
        case In(subject=Field(name=name), items=items):
            return name, frozenset(item.value for item in items if isinstance(item, Text))
    return None


def _pattern(text: str) -> Callable[[str], object]:
    """A matcher for % and _. `translate` writes atomic groups, so that no pattern makes it try again and again."""
    wild = {"%": "*", "_": "?", "*": "[*]", "?": "[?]", "[": "[[]"}
    return pattern(translate("".join(wild.get(character, character) for character in text))).match


def _interval(node: Node) -> Interval | None:
    """The interval that a single comparison of numbers speaks of; None for anything else, and for !=."""
    if not isinstance(node, Compare) or isinstance(node.right, Text) or node.sign == "!=":
        return None
    value, bound = _against(node)
    match node.sign:
        case "=":
            return Interval(value, bound, bound)
        case ">" | ">=":
            return Interval(value, nextafter(bound, inf) if node.sign == ">" else bound, LARGEST)
    return Interval(value, -LARGEST, nextafter(bound, -inf) if node.sign == "<" else bound)


def _against(node: Compare) -> tuple[Node, float]:
    """What is compared with which constant."""
    if isinstance(node.right, Number):
        return node.left, node.right.value
    return Operation(DIFFERENCE, (node.left, node.right)), 0.0


class _Making:
    """The leaves found so far."""

    def __init__(self) -> None:
        self.intervals: list[Interval] = []
        self.texts: list[Node] = []

    def shape(self, node: Node) -> Shape:
        match node:
            case Or():
                return ("or", *map(self.shape, node.parts))
            case And():
                return self._all(node.parts)
            case Not():
                return ("not", self.shape(node.part))
            case Compare(sign="!=", right=Number() | Field() | Operation()):
                value, bound = _against(node)
                known, equal = Interval(value, -LARGEST, LARGEST), Interval(value, bound, bound)
                return ("and", self._leaf(known), ("not", self._leaf(equal)))
            case In(subject=value, items=(Number(), *_)):
                return ("or", *(self._leaf(Interval(value, item.value, item.value)) for item in _constants(node)))
        interval = _interval(node)
        return self._text(node) if interval is None else self._leaf(interval)

    def _all(self, parts: tuple[Node, ...]) -> Shape:
        """Intervals of one value become one; all of them stand first, so that fewer shapes differ."""
        within: dict[Node, Interval] = {}
        rest = []
        for part in parts:
            interval = _interval(part)
            if interval is None:
                rest.append(part)
            else:
                within[interval.value] = _common(within.get(interval.value, interval), interval)
        leaves = [*map(self._leaf, within.values()), *map(self.shape, rest)]
        return leaves[0] if len(leaves) == 1 else ("and", *leaves)

    def _leaf(self, interval: Interval) -> int:
        self.intervals.append(interval)
        return len(self.intervals) - 1

    def _text(self, condition: Node) -> int:
        self.texts.append(condition)
        return ~(len(self.texts) - 1)


def _common(one: Interval, other: Interval) -> Interval:
    return Interval(one.value, max(one.low, other.low), min(one.high, other.high))


def _constants(node: In) -> list[Number]:
    return [item for item in node.items if isinstance(item, Number)]
