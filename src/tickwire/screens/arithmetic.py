"""Expressions over columns of numbers. NaN is a missing value, and what is calculated with one is missing."""

from __future__ import annotations

from functools import reduce
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from tickwire.screens.fields import PLACE
from tickwire.screens.grammar import Field, Node, Number, Operation

Floats: TypeAlias = NDArray[np.float64]
LARGEST = float(np.finfo(np.float64).max)
DIFFERENCE = "difference"
"""The operation whose sign says how two numbers compare. It is exact: doubles differ by 0 only if they are equal."""

_OPERATIONS = {"+": np.add, "-": np.subtract, "*": np.multiply, "/": np.divide, "min": np.minimum, "max": np.maximum}


def evaluate(node: Node, numbers: Floats) -> Floats:
    """The expression's value for each column of `numbers`, whose rows are the fields in the order of NUMBERS.

    A result that is no finite number, as after a division by zero, is missing.
    """
    with np.errstate(all="ignore"):
        found = _evaluate(node, numbers)
    return found if found.ndim else np.full(numbers.shape[1], found)


def _evaluate(node: Node, numbers: Floats) -> Floats:
    match node:
        case Number():
            return np.array(node.value)
        case Field():
            line: Floats = numbers[PLACE[node.name]]
            return line
        case Operation():
            return _calculated(node.sign, [_evaluate(part, numbers) for part in node.parts])
    raise TypeError(f"{node} is no expression")  # `check` lets none through


def _calculated(sign: str, parts: list[Floats]) -> Floats:
    if sign == "negative":
        return -parts[0]
    if sign == "abs":
        return np.abs(parts[0])
    if sign == DIFFERENCE:
        return np.clip(parts[0] - parts[1], -LARGEST, LARGEST)
    found: Floats = reduce(_OPERATIONS[sign], parts)
    return np.where(np.isfinite(found), found, np.nan)
