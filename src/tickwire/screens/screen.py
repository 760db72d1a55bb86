"""A screen: a filter that was read, checked and brought into its normal form."""

from __future__ import annotations

from functools import cached_property
from math import isnan
from typing import Literal, TypeAlias

import msgspec

from tickwire.errors import FilterError
from tickwire.screens.arithmetic import evaluate
from tickwire.screens.check import checked
from tickwire.screens.compiler import Form, compiled
from tickwire.screens.fields import TEXTS
from tickwire.screens.grammar import And, Field, Node, Not, Operation, Or, children, fields_of
from tickwire.screens.normal import normal, text_of
from tickwire.screens.parser import parse
from tickwire.screens.sheet import Sheet

Cost: TypeAlias = Literal["bounds", "calculated"]


class Reason(msgspec.Struct, frozen=True):
    """One condition of a screen, what it compares, and whether it holds for a symbol."""

    condition: str
    values: dict[str, float | str | None]
    holds: bool


class Screen:
    """Which quotes somebody wants to see. Screens with the same normal form are equal; `str()` is its text."""

    def __init__(self, condition: Node) -> None:
        self.condition = condition
        self.text = text_of(condition)
        self._hash = hash(self.text)

    def __str__(self) -> str:
        return self.text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Screen) and self.text == other.text

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def form(self) -> Form:
        """What the index works with."""
        return compiled(self.condition)

    @property
    def needs(self) -> tuple[str, ...]:
        """The names of the fields that decide, sorted."""
        return tuple(sorted(fields_of(self.condition)))

    @property
    def cost(self) -> Cost:
        """`bounds` if only fields are compared with constants: a tick costs nothing until it crosses one of them.

        `calculated` if something has to be worked out with every tick.
        """
        return "bounds" if all(isinstance(each.value, Field) for each in self.form.intervals) else "calculated"

    def explain(self, sheet: Sheet) -> list[Reason]:
        """For the one symbol on the sheet, each single condition and whether it holds."""
        return [_reason(atom, sheet) for atom in _atoms(self.condition)]


def screen(text: str) -> Screen:
    """The screen that a filter's text spells; FilterError, with the text, where it spells none."""
    try:
        return Screen(normal(checked(parse(text))))
    except FilterError as error:
        error.text = text
        raise


def _atoms(node: Node) -> list[Node]:
    """The single conditions, with the `not` that stands before them."""
    if isinstance(node, And | Or):
        return [atom for part in node.parts for atom in _atoms(part)]
    return [node]


def _reason(atom: Node, sheet: Sheet) -> Reason:
    return Reason(
        text_of(atom),
        {text_of(part): _value(part, sheet) for part in _compared(atom)},
        bool(sheet.matching(compiled(atom))[0]),
    )


def _compared(atom: Node) -> list[Node]:
    """What a single condition compares, apart from constants."""
    sides = children(atom.part if isinstance(atom, Not) else atom)
    return [side for side in sides if isinstance(side, Field | Operation)]


def _value(part: Node, sheet: Sheet) -> float | str | None:
    if isinstance(part, Field) and part.name in TEXTS:
        return sheet.text(part.name)[0]
    value = float(evaluate(part, sheet.numbers)[0])
    return None if isnan(value) else value
