"""The report and its charts."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import numpy as np
import pytest

from tickwire.calibration.calibrate import calibrate_model
from tickwire.calibration.compare import compare_with_data
from tickwire.calibration.daily_bars import DailyPrices
from tickwire.calibration.report import render_report
from tickwire.calibration.svg_chart import axis_marks, axis_range
from tickwire.simulation.model import TradingHours

NEW_YORK = TradingHours(open="09:30", close="16:00", timezone="America/New_York")


def test_report_is_valid_svg() -> None:
    """The report escapes names. It accepts a single symbol with few days."""
    rng = np.random.default_rng(3)
    closes = 100 * np.exp(np.cumsum(rng.normal(0, 0.02, (40, 1)), axis=0))
    days = DailyPrices(["A&B"], np.arange(40), closes, closes)
    compared = compare_with_data(calibrate_model(days, NEW_YORK, None, {}, version="<x>", about=""), days, 1)
    drawn = ET.fromstring(render_report(compared))
    texts = [element.text for element in drawn.iter("{http://www.w3.org/2000/svg}text")]
    assert {"Volatility", "Fat tails", "Daily returns", "A&B", "Model <x> beside its data"} <= set(texts)
    assert "nan" not in render_report(compared).lower().replace("nan in the", "")


@pytest.mark.parametrize("ends", [(0.0, 1.0), (-3e-7, 2e-7), (0.0, 123456.0), (99.5, 100.5)])
def test_axis_marks_are_even_and_within_the_axis(ends: tuple[float, float]) -> None:
    marks = axis_marks(*ends)
    assert 3 <= len(marks) <= 7
    assert ends[0] - 1e-9 <= marks[0] < marks[-1] <= ends[1] + 1e-9
    assert np.ptp(np.diff(marks)) < 1e-6 * (ends[1] - ends[0]) + 1e-12
    assert axis_range([5.0, 5.0])[0] < 5.0 < axis_range([5.0, 5.0])[1]
