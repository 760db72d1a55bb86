"""Calibration: bars in every layout we have met, and models that are like their data."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import msgspec
import numpy as np
import pytest

from tickwire.core.codec import encode
from tickwire.errors import InputError, RowError
from tickwire.feeds.price_bars import read_bars
from tickwire.market.calibrate import calibrate
from tickwire.market.chart import around, marks
from tickwire.market.comparison import compare, figures, simulate_days
from tickwire.market.model import Clusters, Jumps, Model, Profile, Session, SymbolModel, read_model
from tickwire.market.plot import plot
from tickwire.market.price_bars import Bars, Days, align, by_day, large_moves, shape_of_day
from tickwire.market.statistics import excess_kurtosis, loadings, pairs
from tickwire.market.swing import fit
from tickwire.market.universe import universe
from tickwire.market.walk import Walk

DATA = Path(__file__).parents[3] / "shared" / "data"
WIKI, MINUTE = DATA / "r1_clear" / "wiki_daily", DATA / "r2_permissive_repo" / "minute"
YORK = Session(open="09:30", close="16:00", timezone="America/New_York")
KNOWN = {each.symbol: each for each in universe()}
realdata = pytest.mark.realdata
needs_data = pytest.mark.skipif(not DATA.exists(), reason=f"the recorded market data are not at {DATA}")


def wiki_days() -> Days:
    return align([read_bars(path) for path in sorted(WIKI.glob("*.gz"))])


@realdata
@needs_data
def test_real_figures_are_found() -> None:
    """Seven shares, 1998 to 2013: volatility, drift, correlation and tails as computed elsewhere."""
    days = wiki_days()
    found = figures(days.returns, 252)
    assert len(days.dates) == 3_799
    assert found.volatility == pytest.approx([0.489, 0.329, 0.351, 0.428, 0.590, 0.461, 0.327], abs=6e-4)
    assert days.returns.mean(axis=0) * 252 == pytest.approx(
        [0.266, 0.107, 0.105, -0.055, 0.219, -0.019, 0.025], abs=6e-4
    )
    assert found.mean_correlation == pytest.approx(0.35, abs=0.005)
    assert found.kurtosis[0] == pytest.approx(86, abs=1)
    assert large_moves(days, 1.8) == ["AAPL 2000-09-29: -52%"]


@realdata
@needs_data
def test_a_simulated_year_is_like_the_data() -> None:
    """A year: volatility within 5 % and correlation within 0.05 of the data; over fifteen, each single volatility."""
    days = wiki_days()
    shape = shape_of_day([read_bars(MINUTE / f"{name}_INTRA_DAY.csv.gz") for name in ("AAPL", "MSFT")], YORK, 13)
    model = calibrate(days, YORK, shape, KNOWN, version="test", about="")
    assert read_model(encode(model)) == model
    data = figures(days.returns, 252)
    year = half_hours(model, 252)
    spent = np.sqrt((np.diff(year, axis=0) ** 2).sum(axis=0))
    assert spent.mean() == pytest.approx(data.volatility.mean(), rel=0.05)
    daily = figures(np.diff(year[::13], axis=0), 252)
    assert daily.volatility.mean() == pytest.approx(data.volatility.mean(), rel=0.05)
    assert daily.mean_correlation == pytest.approx(data.mean_correlation, abs=0.05)
    compared = compare(model, days, seed=1)
    assert compared.model.volatility == pytest.approx(data.volatility, rel=0.05)
    assert compared.model.mean_correlation == pytest.approx(data.mean_correlation, abs=0.05)
    assert (compared.model.kurtosis > 0).all()


def half_hours(model: Model, days: int) -> np.ndarray:
    """Log prices at each half-hour of simulated sessions, and at the first open; shape (13 * days + 1, symbols)."""
    opening = 1_767_364_200 * 10**9
    walk = Walk(model, np.random.default_rng(1), opening, rate=0.02, step=180 * 10**9, steps=10)
    rows = []
    for _ in range(13 * days + 1):
        ticks = walk.block().ticks[::-1]
        symbols, places = np.unique(ticks["symbol"], return_index=True)
        assert len(symbols) == len(walk)
        rows.append(np.log(ticks["last"][places]))
    return np.array(rows)


@realdata
@needs_data
def test_the_day_is_u_shaped() -> None:
    """Apple and Microsoft, 21 sessions by the minute: busy at the open and the close, from CSV and TSV alike."""
    csv = [read_bars(MINUTE / f"{name}_INTRA_DAY.csv.gz") for name in ("AAPL", "MSFT")]
    tsv = [read_bars(MINUTE / f"{name}_INTRA_DAY.tsv.gz") for name in ("AAPL", "MSFT")]
    shape, same = shape_of_day(csv, YORK, 13), shape_of_day(tsv, YORK, 13)
    assert shape.volume == pytest.approx(same.volume)
    assert shape.volume[[0, -1]].min() > 1.5 * shape.volume[5:8].max()
    assert shape.volatility[0] > 1.5 * shape.volatility[5:8].max()
    days = by_day(csv[0], YORK)
    assert len(days.ts) == 21
    assert days.volumes.sum() == csv[0].volumes.sum()


LAYOUTS = [
    ("r1_clear/wiki_daily/GE.csv.gz", 13_090, True),
    ("r2_permissive_repo/minute/AAPL_INTRA_DAY.csv.gz", 8_211, False),
    ("r2_permissive_repo/minute/MSFT_INTRA_DAY.tsv.gz", 8_211, False),
    ("r2_permissive_repo/minute/nt-spy-minute-2011.csv.gz", 14_180, False),
    ("r2_permissive_repo/minute/SP500_NOV2019_IDay.csv.gz", 1_563, False),
    ("r2_permissive_repo/minute/bitfinex_xbtusd_1m.csv.gz", None, False),
    ("r2_permissive_repo/daily/vix-daily.csv.gz", 9_235, True),
    ("r2_permissive_repo/dirty/aapl_split_2020_adj.csv", 43, True),
    ("r2_permissive_repo/dirty/orcl-2010-googlefinance.csv", 252, True),
]


@realdata
@needs_data
@pytest.mark.parametrize(("name", "count", "daily"), LAYOUTS)
def test_every_layout_is_read(name: str, count: int | None, daily: bool) -> None:
    """In the order of time, each time once, prices above 0; daily bars are known from shorter ones."""
    bars = read_bars(DATA / name)
    assert count in (None, len(bars.ts))
    assert (np.diff(bars.ts) > 0).all()
    assert bars.closes.min() > 0
    assert bars.daily == daily


@realdata
@needs_data
def test_a_malformed_price_is_named() -> None:
    """The file, line and column, and what stands there."""
    with pytest.raises(RowError, match=r"line \d+, column Open: expected a number above 0, found '-'"):
        read_bars(DATA / "r2_permissive_repo" / "dirty" / "orcl-2010-googlefinance-malformed.csv")


def test_splits_are_adjusted(tmp_path: Path) -> None:
    """By adjusted columns where there are some, else by the ratios: no return where nobody gained."""
    raw = tmp_path / "A.csv"
    raw.write_text("date,close,volume,split ratio\n2026-01-05,100,10,1\n2026-01-06,50,20,2\n2026-01-07,5,200,10\n")
    bars = read_bars(raw)
    assert bars.closes.tolist() == [5.0, 5.0, 5.0]
    assert bars.volumes.tolist() == [200.0, 200.0, 200.0]
    adjusted = tmp_path / "B.csv"
    adjusted.write_text("Date,Open,Close,Split Ratio,Adj. Open,Adj. Close\n2026-01-05,100,100,1,9,10\n")
    bars = read_bars(adjusted)
    assert (bars.symbol, bars.opens.tolist(), bars.closes.tolist()) == ("B", [9.0], [10.0])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("day,price\n2026-01-05,1\n", "has no column with times; it has day, price"),
        ("date,high\n2026-01-05,1\n", "has no column with a closing price; it has date, high"),
        ("date,close\n2026-01-05,0\n", "line 2, column close: expected a number above 0, found '0'"),
        ("date,close\nsoon,1\n", "line 2, column date: expected a time as in the first row, found 'soon'"),
        ("date,close\n2026-01-05,1\n2026-01-06\n", "line 3: expected 2 columns, found 1"),
        ("date,close\n", "has no rows"),
    ],
)
def test_a_wrong_file_is_told(tmp_path: Path, text: str, says: str) -> None:
    """One sentence with what is there and what should be."""
    path = tmp_path / "A.csv"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        read_bars(path)
    assert says in str(caught.value)


def test_a_model_is_found_again() -> None:
    """Simulated, and calibrated on what came out: the same volatility, loadings, night and jumps, nearly."""
    given = {"price": 1000.0, "volatility": 0.3, "drift": 0.1, "tick_size": 0.01}
    symbols = tuple(
        SymbolModel(symbol=name, market=0.7, sector_loading=0.0, jumps=Jumps(per_year=3, deviation=0.1), **given)
        for name in ("A", "B", "C", "D", "E")
    )
    truth = Model(format=1, version="truth", symbols=symbols, session=YORK, profile=Profile())
    closes = simulate_days(truth, 4_000, np.random.default_rng(2))
    days = Days(list("ABCDE"), np.arange(4_000), closes, closes)
    found = calibrate(days, YORK, None, {}, version="found", about="")
    jumps = [each.jumps or Jumps(per_year=0) for each in found.symbols]
    assert np.mean([each.per_year for each in jumps]) == pytest.approx(1.3, abs=0.4)  # the smaller ones pass for noise
    volatility = np.array([each.volatility for each in found.symbols])
    assert volatility == pytest.approx(0.3, rel=0.12)  # sixteen years have fifty jumps
    own = np.array([each.variance for each in jumps]) / volatility**2
    shared = np.array([each.market**2 for each in found.symbols]) * (1 - own)
    assert shared.mean() == pytest.approx(0.49 * (1 - 0.03 / 0.09), abs=0.05)


def test_calm_and_busy_times_are_found_again() -> None:
    """Simulated for forty years: normal volatility on average, clusters as the rule says, and tails that follow."""
    rule = Clusters(deviation=0.4, half_life=30.0)
    symbols = tuple(SymbolModel(symbol=name, price=1000.0, volatility=0.3, drift=0.0) for name in "ABCDE")
    model = Model(format=1, version="x", symbols=symbols, session=YORK, clusters=rule)
    returns = np.diff(np.log(simulate_days(model, 10_000, np.random.default_rng(3))), axis=0)
    found = figures(returns, 252)
    assert found.volatility == pytest.approx(0.3, rel=0.1)
    assert found.kurtosis.mean() == pytest.approx(3 * np.expm1(4 * 0.4**2), rel=0.5)
    again = fit(found.autocorrelation)
    assert again is not None
    assert again.deviation == pytest.approx(0.4, abs=0.1)
    assert again.half_life == pytest.approx(30, rel=0.5)
    plain = msgspec.structs.replace(model, clusters=None)
    calm = np.diff(np.log(simulate_days(plain, 3_000, np.random.default_rng(3))), axis=0)
    assert np.abs(figures(calm, 252).autocorrelation).max() < 0.03
    assert fit(-np.abs(found.autocorrelation)) is None


@realdata
@needs_data
def test_with_clusters_the_model_has_those_of_the_data() -> None:
    """Autocorrelation of absolute returns over a month, and tails several times as fat as without."""
    days = wiki_days()
    model = calibrate(days, YORK, None, KNOWN, version="test", about="", clusters=True)
    compared = compare(model, days, seed=1)
    assert compared.model.autocorrelation.mean() == pytest.approx(compared.data.autocorrelation.mean(), abs=0.08)
    assert np.median(compared.model.kurtosis) > 1.5
    assert compared.model.mean_correlation == pytest.approx(compared.data.mean_correlation, abs=0.05)


def test_loadings_reproduce_a_factor() -> None:
    """A matrix that one factor made gives that factor's loadings, whatever their signs; two symbols share theirs."""
    truth = np.array([0.9, 0.5, -0.3, 0.7])
    matrix = np.outer(truth, truth)
    np.fill_diagonal(matrix, 1.0)
    assert loadings(matrix) == pytest.approx(truth, abs=1e-3)
    two = loadings(np.array([[1.0, 0.36], [0.36, 1.0]]))
    assert two[0] * two[1] == pytest.approx(0.36, abs=1e-6)
    assert loadings(np.ones((1, 1))).tolist() == [0.0]


def test_tails_of_known_distributions() -> None:
    """Excess kurtosis: 0 for normal, 3 for Laplace."""
    rng = np.random.default_rng(1)
    returns = np.column_stack([rng.standard_normal(200_000), rng.laplace(size=200_000)])
    assert excess_kurtosis(returns) == pytest.approx([0, 3], abs=0.2)


def test_too_few_common_days_are_told_with_their_spans() -> None:
    """Who has which."""
    days = np.arange(30) * 86_400 * 10**9
    ones = np.ones(30)
    early, late = Bars("A", days, ones, ones, ones), Bars("B", days + 25 * 86_400 * 10**9, ones, ones, ones)
    with pytest.raises(InputError, match="5 days in common, at least 11 are needed: A 1970-01-01 to 1970-01-30; B"):
        align([early, late])


def test_the_picture_is_sound(tmp_path: Path) -> None:
    """Well-formed SVG with six panels, names escaped, also for one symbol with hardly any days."""
    rng = np.random.default_rng(3)
    closes = 100 * np.exp(np.cumsum(rng.normal(0, 0.02, (40, 1)), axis=0))
    days = Days(["A&B"], np.arange(40), closes, closes)
    compared = compare(calibrate(days, YORK, None, {}, version="<x>", about=""), days, 1)
    drawn = ET.fromstring(plot(compared))
    texts = [element.text for element in drawn.iter("{http://www.w3.org/2000/svg}text")]
    assert {"Volatility", "Fat tails", "Daily returns", "A&B", "Model <x> beside its data"} <= set(texts)
    assert "nan" not in plot(compared).lower().replace("nan in the", "")
    assert not len(pairs(np.ones((1, 1))))


@pytest.mark.parametrize("ends", [(0.0, 1.0), (-3e-7, 2e-7), (0.0, 123456.0), (99.5, 100.5)])
def test_axes_have_round_marks(ends: tuple[float, float]) -> None:
    """A few of them, evenly, all between the ends."""
    found = marks(*ends)
    assert 3 <= len(found) <= 7
    assert ends[0] - 1e-9 <= found[0] < found[-1] <= ends[1] + 1e-9
    assert np.ptp(np.diff(found)) < 1e-6 * (ends[1] - ends[0]) + 1e-12
    assert around([5.0, 5.0])[0] < 5.0 < around([5.0, 5.0])[1]
