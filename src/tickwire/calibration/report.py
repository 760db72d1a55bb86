"""The report that compares a market model with real prices, as an SVG document with six charts."""

from __future__ import annotations

import numpy as np

from tickwire.calibration.compare import ModelComparison, ReturnStatistics
from tickwire.calibration.svg_chart import DATA_COLOUR, MODEL_COLOUR, Panel, axis_range, render_document, step_line
from tickwire.core.arrays import Floats

# The maximum number of symbol names that fit below a chart, or in the heading of the report.
_MAX_NAMES = 12
_HISTOGRAM_BINS = np.linspace(-6, 6, 49)
# The logarithm of the frequency 1 in 10,000. With a few thousand returns, bars of a histogram below this frequency are
# noise.
_MIN_LOG_FREQUENCY = -4.0


def render_report(comparison: ModelComparison) -> str:
    """Return the calibration report of `comparison` as an SVG document."""
    days = f"{comparison.data_statistics.day_count:,} daily returns of {', '.join(comparison.symbols[:_MAX_NAMES])}"
    panels = [_volatility_panel(comparison), _correlation_panel(comparison), _kurtosis_panel(comparison)]
    panels += [_autocorrelation_panel(comparison), _distribution_panel(comparison), _intraday_panel(comparison)]
    return render_document(f"Model {comparison.calibrated_model.version} beside its data", days, panels)


def _volatility_panel(compared: ModelComparison) -> Panel:
    both = [compared.data_statistics.annual_volatility * 100, compared.model_statistics.annual_volatility * 100]
    return _symbol_panel("Volatility", "% per year", compared.symbols, *both)


def _kurtosis_panel(compared: ModelComparison) -> Panel:
    both = [
        np.log10(np.maximum(each.excess_kurtosis, 0) + 1)
        for each in (compared.data_statistics, compared.model_statistics)
    ]
    return _symbol_panel("Fat tails", "log10(1 + excess kurtosis); 0 is normal", compared.symbols, *both)


def _symbol_panel(title: str, note: str, symbols: list[str], data: Floats, model: Floats) -> Panel:
    panel = Panel(title, note, (-0.6, len(symbols) - 0.4), axis_range([*data, *model], include_zero=True))
    panel.set_x_labels(enumerate(symbols) if len(symbols) <= _MAX_NAMES else ())
    panel.draw_columns(data.tolist(), DATA_COLOUR)
    panel.draw_points(range(len(model)), model, MODEL_COLOUR)
    return panel


def _correlation_panel(compared: ModelComparison) -> Panel:
    data, model = compared.data_statistics.pair_correlations, compared.model_statistics.pair_correlations
    ends = axis_range([*data, *model])
    means = compared.data_statistics.mean_pair_correlation, compared.model_statistics.mean_pair_correlation
    note = "each pair; mean {:.2f} in the data, {:.2f} in the model".format(*means)
    panel = Panel("Correlation: data (x) and model (y)", note, ends, ends)
    panel.draw_line(ends, ends, DATA_COLOUR, dashed=True)
    panel.draw_points(data, model, MODEL_COLOUR, hollow=True)
    return panel


def _autocorrelation_panel(compared: ModelComparison) -> Panel:
    data, model = compared.data_statistics.autocorrelation, compared.model_statistics.autocorrelation
    lags = np.arange(1, len(data) + 1)
    panel = Panel(
        "Autocorrelation of |return|",
        "by lag in days",
        (0, len(data) + 1),
        axis_range([*data, *model], include_zero=True),
    )
    panel.draw_line(lags, data, DATA_COLOUR)
    panel.draw_line(lags, model, MODEL_COLOUR)
    return panel


def _distribution_panel(compared: ModelComparison) -> Panel:
    data, model = _log_frequencies(compared.data_statistics), _log_frequencies(compared.model_statistics)
    panel = Panel("Daily returns", "log10 of frequency, by standard deviations", (-6, 6), (_MIN_LOG_FREQUENCY, 0.0))
    middles = (_HISTOGRAM_BINS[1:] + _HISTOGRAM_BINS[:-1]) / 2
    for frequencies, colour in ((data, DATA_COLOUR), (model, MODEL_COLOUR)):
        shown = frequencies > _MIN_LOG_FREQUENCY
        panel.draw_line(middles[shown], frequencies[shown], colour)
    return panel


def _log_frequencies(statistics: ReturnStatistics) -> Floats:
    scaled = (statistics.returns - statistics.returns.mean(axis=0)) / statistics.returns.std(axis=0)
    counts, _ = np.histogram(scaled, _HISTOGRAM_BINS)
    return np.asarray(np.log10(np.maximum(counts / scaled.size, 10.0**_MIN_LOG_FREQUENCY)))


def _intraday_panel(compared: ModelComparison) -> Panel:
    shape = compared.calibrated_model.profile
    count = len(shape.volume)
    note = "volume (columns) and volatility (line), relative to their means"
    ends = axis_range([*shape.volume, *shape.volatility], include_zero=True)
    panel = Panel("The day, from open to close", note, (-0.6, count - 0.4), ends)
    panel.set_x_labels([(0, "open"), (count - 1, "close")] if count > 1 else [(0, "all day")])
    panel.draw_columns(shape.volume, DATA_COLOUR)
    panel.draw_line(*step_line(shape.volatility), MODEL_COLOUR)
    return panel
