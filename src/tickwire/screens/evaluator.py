"""Evaluate expressions for many symbols together. NaN is a missing value, and an operation with NaN yields NaN."""

from __future__ import annotations

from functools import reduce

import numpy as np

from tickwire.core.arrays import Floats
from tickwire.screens.fields import FIELD_INDEX
from tickwire.screens.syntax_tree import Field, Node, Number, Operation

MAX_FLOAT = float(np.finfo(np.float64).max)
DIFFERENCE = "difference"
"""The operation `left - right` for comparisons, which use only the sign of the result.

The result is 0 only for equal numbers.
"""

_UFUNCS = {"+": np.add, "-": np.subtract, "*": np.multiply, "/": np.divide, "min": np.minimum, "max": np.maximum}


def evaluate(node: Node, field_values: Floats) -> Floats:
    """Return a one-dimensional array with the value of an expression for each column of `field_values`.

    A column of `field_values` contains all fields of one symbol. The rows are in the order of NUMBER_FIELDS. An
    infinite result, for example after a division by zero, becomes NaN.
    """
    with np.errstate(all="ignore"):
        result = _evaluate_node(node, field_values)
    return result if result.ndim else np.full(field_values.shape[1], result)


def _evaluate_node(node: Node, field_values: Floats) -> Floats:
    match node:
        case Number():
            return np.array(node.value)
        case Field():
            values: Floats = field_values[FIELD_INDEX[node.name]]
            return values
        case Operation():
            return _apply_operator(node.operator, [_evaluate_node(operand, field_values) for operand in node.operands])
    # Other types of nodes cannot occur here, because the analyzer rejects filters with such nodes.
    raise TypeError(f"{node} is not an expression")


def _apply_operator(operator: str, operands: list[Floats]) -> Floats:
    if operator == "negative":
        return -operands[0]
    if operator == "abs":
        return np.abs(operands[0])
    if operator == DIFFERENCE:
        return np.clip(operands[0] - operands[1], -MAX_FLOAT, MAX_FLOAT)
    result: Floats = reduce(_UFUNCS[operator], operands)
    return np.where(np.isfinite(result), result, np.nan)
