"""The pauses of the process while Python's garbage collector runs."""

from __future__ import annotations

import contextlib
import gc
import time
from collections.abc import Iterator, Mapping
from typing import Literal

from tickwire.core.histogram import Histogram, HistogramCounts

_GENERATIONS = 3


class GcPauses:
    """Measures each garbage collection. No other Python code runs during a collection."""

    def __init__(self) -> None:
        self._times = [Histogram() for _ in range(_GENERATIONS)]
        self._started_at_ns = 0

    @contextlib.contextmanager
    def measuring(self) -> Iterator[None]:
        """Measure the collections until the `with` block ends."""
        gc.callbacks.append(self._on_phase)
        try:
            yield
        finally:
            gc.callbacks.remove(self._on_phase)

    def counts(self) -> Mapping[str, HistogramCounts]:
        """Return the durations of the collections by generation. Generation 2 is a collection of all objects."""
        return {str(generation): times.counts() for generation, times in enumerate(self._times)}

    def _on_phase(self, phase: Literal["start", "stop"], info: Mapping[str, int]) -> None:
        if phase == "start":
            self._started_at_ns = time.perf_counter_ns()
        elif self._started_at_ns:
            self._times[info["generation"]].observe(time.perf_counter_ns() - self._started_at_ns)
