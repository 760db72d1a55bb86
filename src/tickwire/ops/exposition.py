"""The Prometheus text format: the "text-based exposition format" 0.0.4.

Each metric family has a help line, a type line and samples.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from tickwire.core.histogram import HistogramCounts
from tickwire.ops.metric_table import Metric

METRICS_MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"

SampleValue: TypeAlias = float | HistogramCounts
FamilyValue: TypeAlias = (
    SampleValue
    | Mapping[str, SampleValue]
    | Mapping[tuple[str, str], SampleValue]
    | Mapping[tuple[str, str, str], SampleValue]
    | None
)
"""The value of a family without labels; a mapping from labels to values; or None for a family without samples."""


def render_family(metric: Metric, value: FamilyValue) -> str:
    """Return the text of one metric family. Durations in `value` are in nanoseconds. The text contains them in
    seconds."""
    head = f"# HELP {metric.name} {metric.help_text}\n# TYPE {metric.name} {metric.kind}\n"
    if value is None:
        return head
    if not isinstance(value, Mapping):
        return head + _render_sample(metric, (), value)
    samples = [((labels,) if isinstance(labels, str) else labels, each) for labels, each in value.items()]
    return head + "".join(_render_sample(metric, labels, each) for labels, each in sorted(samples))


def _render_sample(metric: Metric, values: tuple[str, ...], value: SampleValue) -> str:
    pairs = [f'{name}="{_escape(text)}"' for name, text in zip(metric.labels, values, strict=True)]
    if isinstance(value, HistogramCounts):
        return _render_histogram(metric.name, pairs, value)
    return f"{metric.name}{_join(pairs)} {value}\n"


def _render_histogram(name: str, pairs: list[str], histogram: HistogramCounts) -> str:
    unit = 1e9 if name.endswith("_seconds") else 1
    cumulative = histogram.cumulative_counts()
    bounds = [f"{bound / unit:g}" for bound in histogram.bounds] + ["+Inf"]
    lines = []
    for bound, count in zip(bounds, cumulative, strict=True):
        labels = _join([*pairs, f'le="{bound}"'])
        lines.append(f"{name}_bucket{labels} {count}\n")
    sums = f"{name}_sum{_join(pairs)} {histogram.total / unit}\n{name}_count{_join(pairs)} {cumulative[-1]}\n"
    return "".join(lines) + sums


def _join(pairs: list[str]) -> str:
    return f"{{{','.join(pairs)}}}" if pairs else ""


def _escape(text: str) -> str:
    """Escape a label value, which may be arbitrary text, such as the version of a model."""
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
