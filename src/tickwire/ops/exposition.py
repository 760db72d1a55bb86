"""The two text formats of metrics: the "text-based exposition format" 0.0.4 of Prometheus, and OpenMetrics 1.0.

In both formats, each metric family has a help line, a type line and samples. OpenMetrics also has exemplars, names a
family of counters without the suffix `_total`, and ends with an additional line.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeAlias

from tickwire.core.histogram import Exemplar, HistogramCounts
from tickwire.ops.metric_table import Metric


class MetricsFormat(StrEnum):
    """A text format of metrics. The value is its media type."""

    PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"
    OPEN_METRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"

    @property
    def end_line(self) -> str:
        """The line at the end of the document. Empty for the Prometheus format."""
        return "# EOF\n" if self is MetricsFormat.OPEN_METRICS else ""


SampleValue: TypeAlias = float | HistogramCounts
FamilyValue: TypeAlias = (
    SampleValue
    | Mapping[str, SampleValue]
    | Mapping[tuple[str, str], SampleValue]
    | Mapping[tuple[str, str, str], SampleValue]
    | None
)
"""The value of a family without labels; a mapping from labels to values; or None for a family without samples."""


def choose_format(accept: str) -> MetricsFormat:
    """Return the format that a client prefers, from its header `Accept`."""
    weights: dict[str, float] = {}
    for media_range in accept.lower().split(","):
        name, *parameters = (part.strip() for part in media_range.split(";"))
        values = dict(parameter.partition("=")[::2] for parameter in parameters)
        # Require version 1, because a later version of OpenMetrics may be incompatible.
        if name != "application/openmetrics-text" or values.get("version", "1.0.0") in ("0.0.1", "1.0.0"):
            weights[name] = max(weights.get(name, 0.0), _parse_weight(values.get("q", "1")))
    wanted = weights.get("application/openmetrics-text", 0.0)
    prefers_open = wanted > 0 and wanted >= weights.get("text/plain", 0.0)
    return MetricsFormat.OPEN_METRICS if prefers_open else MetricsFormat.PROMETHEUS


def _parse_weight(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def render_family(metric: Metric, value: FamilyValue, text_format: MetricsFormat) -> str:
    """Return the text of one metric family. Durations in `value` are in nanoseconds. The text contains them in
    seconds."""
    is_open = text_format is MetricsFormat.OPEN_METRICS
    name = metric.name.removesuffix("_total") if is_open and metric.kind == "counter" else metric.name
    head = f"# HELP {name} {metric.help_text}\n# TYPE {name} {metric.kind}\n"
    if value is None:
        return head
    if not isinstance(value, Mapping):
        return head + _render_sample(metric, (), value, has_exemplars=is_open)
    samples = [((labels,) if isinstance(labels, str) else labels, each) for labels, each in value.items()]
    return head + "".join(
        _render_sample(metric, labels, each, has_exemplars=is_open) for labels, each in sorted(samples)
    )


def _render_sample(metric: Metric, values: tuple[str, ...], value: SampleValue, *, has_exemplars: bool) -> str:
    pairs = [f'{name}="{_escape(text)}"' for name, text in zip(metric.labels, values, strict=True)]
    if isinstance(value, HistogramCounts):
        return _render_histogram(metric.name, pairs, value, value.exemplars if has_exemplars else {})
    return f"{metric.name}{_join(pairs)} {value}\n"


def _render_histogram(
    name: str, pairs: list[str], histogram: HistogramCounts, exemplars: Mapping[int, Exemplar]
) -> str:
    unit = 1e9 if name.endswith("_seconds") else 1
    cumulative = histogram.cumulative_counts()
    # Write each bound with a decimal point, because OpenMetrics requires it. The Prometheus format uses the same text,
    # so that each bucket is the same time series in both formats.
    bounds = [f"{bound / unit}" for bound in histogram.bounds] + ["+Inf"]
    lines = []
    for index, (bound, count) in enumerate(zip(bounds, cumulative, strict=True)):
        labels = _join([*pairs, f'le="{bound}"'])
        exemplar = _render_exemplar(exemplars[index], unit) if index in exemplars else ""
        lines.append(f"{name}_bucket{labels} {count}{exemplar}\n")
    sums = f"{name}_sum{_join(pairs)} {histogram.total / unit}\n{name}_count{_join(pairs)} {cumulative[-1]}\n"
    return "".join(lines) + sums


def _render_exemplar(exemplar: Exemplar, unit: float) -> str:
    return f' # {{trace_id="{exemplar.trace_id}"}} {exemplar.value / unit} {exemplar.ts / 1e9:.3f}'


def _join(pairs: list[str]) -> str:
    return f"{{{','.join(pairs)}}}" if pairs else ""


def _escape(text: str) -> str:
    """Escape a label value, which may be arbitrary text, such as the version of a model."""
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
