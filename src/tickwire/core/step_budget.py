"""Divides a search through texts into steps of a few milliseconds. Other tasks can run between two steps."""

from __future__ import annotations

# The maximum cost of one step. The test of one text in a large column has the cost 1. With the slowest patterns, a step
# takes about 4 ms.
_MAX_STEP_COST = 16_384
# The minimum cost of a search through a column, even if the column contains few texts.
_MIN_SEARCH_COST = 512
# The cost of a test of a single text outside a column.
_SINGLE_TEST_COST = 8


class StepBudget:
    """The cost of all text searches since the last pause."""

    def __init__(self) -> None:
        self._cost = 0

    def spend(self, text_count: int) -> bool:
        """Add the cost of tests of `text_count` texts against one pattern. Return True if it is time to pause."""
        self._cost += max(text_count, min(text_count * _SINGLE_TEST_COST, _MIN_SEARCH_COST))
        if self._cost < _MAX_STEP_COST:
            return False
        self._cost = 0
        return True
