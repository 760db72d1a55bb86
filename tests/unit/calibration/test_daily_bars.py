"""Daily bars: aggregation, alignment and the intraday shape."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tickwire.calibration.daily_bars import PriceBars, aggregate_by_session, align_days, measure_intraday_shape
from tickwire.errors import InputError
from tickwire.recordings.bar_reader import read_bars
from tickwire.simulation.model import TradingHours

DATA = Path(__file__).parents[4] / "shared" / "data"
MINUTE = DATA / "r2_permissive_repo" / "minute"
NEW_YORK = TradingHours(open="09:30", close="16:00", timezone="America/New_York")
realdata = pytest.mark.realdata
needs_data = pytest.mark.skipif(not DATA.exists(), reason=f"the recorded market data are not at {DATA}")


@realdata
@needs_data
def test_intraday_shape_is_a_u() -> None:
    """Volume is high at the open and the close, volatility at the open. CSV and TSV files give the same shape."""
    csv = [read_bars(MINUTE / f"{name}_INTRA_DAY.csv.gz") for name in ("AAPL", "MSFT")]
    tsv = [read_bars(MINUTE / f"{name}_INTRA_DAY.tsv.gz") for name in ("AAPL", "MSFT")]
    shape, same = measure_intraday_shape(csv, NEW_YORK, 13), measure_intraday_shape(tsv, NEW_YORK, 13)
    assert shape.relative_volume == pytest.approx(same.relative_volume)
    assert shape.relative_volume[[0, -1]].min() > 1.5 * shape.relative_volume[5:8].max()
    assert shape.relative_volatility[0] > 1.5 * shape.relative_volatility[5:8].max()
    days = aggregate_by_session(csv[0], NEW_YORK)
    assert len(days.ts) == 21
    assert days.volumes.sum() == csv[0].volumes.sum()


def test_too_few_common_days_raise() -> None:
    days = np.arange(30) * 86_400 * 10**9
    ones = np.ones(30)
    early, late = PriceBars("A", days, ones, ones, ones), PriceBars("B", days + 25 * 86_400 * 10**9, ones, ones, ones)
    with pytest.raises(InputError, match="5 days in common, but a model needs at least 11"):
        align_days([early, late])
