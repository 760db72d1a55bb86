"""A comparison as a picture: volatility, correlation, tails, clusters, distribution and the shape of the day."""

from __future__ import annotations

import numpy as np

from tickwire.market.chart import DATA, MODEL, Panel, around, sheet, steps
from tickwire.market.comparison import Comparison, Figures
from tickwire.market.runs import Floats

_MOST_NAMES = 12  # that have room below a panel
_BINS = np.linspace(-6, 6, 49)
_LEAST_LOG = -4.0  # a frequency of 1 in 10,000: below it a bin of some thousand returns says nothing


def plot(compared: Comparison) -> str:
    """The SVG document."""
    days = f"{compared.data.days:,} daily returns of {', '.join(compared.symbols[:_MOST_NAMES])}"
    panels = [_volatility(compared), _correlation(compared), _kurtosis(compared)]
    panels += [_clusters(compared), _distribution(compared), _day(compared)]
    return sheet(f"Model {compared.of.version} beside its data", days, panels)


def _volatility(compared: Comparison) -> Panel:
    both = [compared.data.volatility * 100, compared.model.volatility * 100]
    return _by_symbol("Volatility", "% a year", compared.symbols, *both)


def _kurtosis(compared: Comparison) -> Panel:
    both = [np.log10(np.maximum(each.kurtosis, 0) + 1) for each in (compared.data, compared.model)]
    return _by_symbol("Fat tails", "log10(1 + excess kurtosis); 0 is normal", compared.symbols, *both)


def _by_symbol(title: str, note: str, symbols: list[str], data: Floats, model: Floats) -> Panel:
    panel = Panel(title, note, (-0.6, len(symbols) - 0.4), around([*data, *model], zero=True))
    panel.name_places(enumerate(symbols) if len(symbols) <= _MOST_NAMES else ())
    panel.columns(data.tolist(), DATA)
    panel.points(range(len(model)), model, MODEL)
    return panel


def _correlation(compared: Comparison) -> Panel:
    data, model = compared.data.correlation, compared.model.correlation
    ends = around([*data, *model])
    means = compared.data.mean_correlation, compared.model.mean_correlation
    note = "each pair; mean {:.2f} in the data, {:.2f} in the model".format(*means)
    panel = Panel("Correlation: data across, model up", note, ends, ends)
    panel.line(ends, ends, DATA, dashed=True)
    panel.points(data, model, MODEL, hollow=True)
    return panel


def _clusters(compared: Comparison) -> Panel:
    data, model = compared.data.autocorrelation, compared.model.autocorrelation
    lags = np.arange(1, len(data) + 1)
    panel = Panel(
        "Autocorrelation of |return|", "by lag in days", (0, len(data) + 1), around([*data, *model], zero=True)
    )
    panel.line(lags, data, DATA)
    panel.line(lags, model, MODEL)
    return panel


def _distribution(compared: Comparison) -> Panel:
    data, model = _frequencies(compared.data), _frequencies(compared.model)
    panel = Panel("Daily returns", "log10 of frequency, by standard deviations", (-6, 6), (_LEAST_LOG, 0.0))
    middles = (_BINS[1:] + _BINS[:-1]) / 2
    for found, colour in ((data, DATA), (model, MODEL)):
        seen = found > _LEAST_LOG
        panel.line(middles[seen], found[seen], colour)
    return panel


def _frequencies(figures: Figures) -> Floats:
    scaled = (figures.returns - figures.returns.mean(axis=0)) / figures.returns.std(axis=0)
    counts, _ = np.histogram(scaled, _BINS)
    return np.asarray(np.log10(np.maximum(counts / scaled.size, 10.0**_LEAST_LOG)))


def _day(compared: Comparison) -> Panel:
    shape = compared.of.profile
    count = len(shape.volume)
    note = "volume as columns, volatility as a line, over their means"
    ends = around([*shape.volume, *shape.volatility], zero=True)
    panel = Panel("The day, from open to close", note, (-0.6, count - 0.4), ends)
    panel.name_places([(0, "open"), (count - 1, "close")] if count > 1 else [(0, "all day")])
    panel.columns(shape.volume, DATA)
    panel.line(*steps(shape.volatility), MODEL)
    return panel
