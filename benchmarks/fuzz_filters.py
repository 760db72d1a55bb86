"""Feed bytes to the filter language until a time limit: `python -m benchmarks.fuzz_filters -max_total_time=600`.

The fuzzer requires atheris (`pip install atheris`), which mutates inputs to reach new branches. The parser must either
reject an input with a FilterError, or return a screen. The FilterError must point to a position in the input. The text
of the screen must parse to the same screen. The index must accept the screen, and must match the same symbols as the
field table. The parse time must be bounded.
"""

from __future__ import annotations

import sys
import time

import atheris

with atheris.instrument_imports(include=["tickwire.screens"]):
    from tickwire.screens.field_table import FieldTable
    from tickwire.screens.index.screen_index import ScreenIndex
    from tickwire.screens.screen import Screen, parse_screen

import numpy as np

from tickwire.core.instrument import Instrument
from tickwire.errors import FilterError
from tickwire.screens.fields import QUOTE_NUMBER_FIELDS

# The time limit for one input under instrumentation. Without instrumentation, the longest filters take some
# milliseconds.
_MAX_PARSE_S = 0.25
_INSTRUMENTS = {"BRK.A": Instrument(symbol="BRK.A", name="A % of [it]", sector="Technology", eps=2.0)}
_QUOTES = np.linspace(-3.0, 5.0, len(QUOTE_NUMBER_FIELDS)).reshape(-1, 1)
_QUOTES[3] = np.nan
_TABLE = FieldTable(["BRK.A"], _INSTRUMENTS, _QUOTES)


def fuzz_one_input(data: bytes) -> None:
    """Parse one input, and check the guarantees of the filter language."""
    text = data.decode("utf-8", "surrogateescape")
    start = time.perf_counter()
    result = _parse(text)
    elapsed_s = time.perf_counter() - start
    assert elapsed_s < _MAX_PARSE_S, f"{elapsed_s} s"
    if isinstance(result, Screen):
        _check_screen(result)
    else:
        assert 0 <= result.position <= len(text)
        assert result.caret.count("\n") == 1


def _check_screen(screen: Screen) -> None:
    reparsed = _parse(str(screen))
    # The normal form of a filter repeats the subject of `between`, so its text may exceed a limit of the filter
    # language.
    assert reparsed == screen or (isinstance(reparsed, FilterError) and "than" in str(reparsed)), reparsed
    index = ScreenIndex(["BRK.A"], _INSTRUMENTS)
    number = index.add(screen)
    expected = bool(_TABLE.match_mask(screen.compiled)[0])
    changes = index.apply(np.array([0]), _QUOTES)
    assert changes.matching_screens(0).tolist() == [number] * expected
    assert index.matching_rows(number).tolist() == [0] * expected
    screen.explain(_TABLE)


def _parse(text: str) -> Screen | FilterError:
    try:
        return parse_screen(text)
    except FilterError as error:
        return error


if __name__ == "__main__":
    atheris.Setup(sys.argv, fuzz_one_input)
    atheris.Fuzz()
