"""Throw bytes at the filter language for as long as told: `python benchmarks/fuzz_filters.py -max_total_time=600`.

Needs atheris (`pip install atheris`), which grows its inputs by the branches they reach. Each is a filter, and must
either be refused with a FilterError whose place lies within it, or become a screen whose text reads as the same screen,
which the index takes, and which answers for a symbol as its sheet does; reading it must take bounded time.
"""

from __future__ import annotations

import sys
import time

import atheris

with atheris.instrument_imports(include=["tickwire.screens"]):
    from tickwire.screens.index import ScreenIndex
    from tickwire.screens.screen import Screen, screen
    from tickwire.screens.sheet import Sheet

import numpy as np

from tickwire.core.instrument import Instrument
from tickwire.errors import FilterError
from tickwire.screens.fields import MOVING

SLOWEST = 0.25  # seconds to read one input, under instrumentation; the longest filters take some milliseconds without
INSTRUMENTS = {"BRK.A": Instrument(symbol="BRK.A", name="A % of [it]", sector="Technology", eps=2.0)}
QUOTES = np.linspace(-3.0, 5.0, len(MOVING)).reshape(-1, 1)
QUOTES[3] = np.nan
SHEET = Sheet(["BRK.A"], INSTRUMENTS, QUOTES)


def try_one(data: bytes) -> None:
    """One input, and everything that is promised of it."""
    text = data.decode("utf-8", "surrogateescape")
    start = time.perf_counter()
    made = screen_or_refusal(text)
    spent = time.perf_counter() - start
    assert spent < SLOWEST, f"{spent} s"
    if isinstance(made, Screen):
        check(made)
    else:
        assert 0 <= made.position <= len(text)
        assert made.caret.count("\n") == 1


def check(wanted: Screen) -> None:
    again = screen_or_refusal(str(wanted))
    # `between` says its subject twice, so that a normal form may be over a limit.
    assert again == wanted or (isinstance(again, FilterError) and "than" in str(again)), again
    index = ScreenIndex(["BRK.A"], INSTRUMENTS)
    number = index.add(wanted)
    expected = bool(SHEET.matching(wanted.form)[0])
    found = index.apply(np.array([0]), QUOTES)
    assert found.matching(0).tolist() == [number] * expected
    assert index.rows(number).tolist() == [0] * expected
    wanted.explain(SHEET)


def screen_or_refusal(text: str) -> Screen | FilterError:
    try:
        return screen(text)
    except FilterError as error:
        return error


if __name__ == "__main__":
    atheris.Setup(sys.argv, try_one)
    atheris.Fuzz()
