"""Write the Grafana dashboards in this folder: `python deploy/grafana/generate.py`.

With `--check`, write nothing, and exit with 1 if a dashboard is out of date.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, NamedTuple

FOLDER = Path(__file__).parent
PANEL_WIDTH, PANEL_HEIGHT = 8, 8
PANELS_PER_ROW = 24 // PANEL_WIDTH
_JOB = 'job=~"$job"'
_SELECTOR = f'{_JOB},instance=~"$instance"'


class Query(NamedTuple):
    """One query of a panel. `$S` in `expression` stands for the labels that the viewer has chosen."""

    expression: str
    legend: str = "{{instance}}"


class Panel(NamedTuple):
    """One panel: a title, a unit of Grafana, and its queries."""

    title: str
    unit: str
    queries: tuple[Query, ...]
    kind: str = "timeseries"


class Dashboard(NamedTuple):
    """One dashboard: the name of its file, its title, and its panels."""

    name: str
    title: str
    panels: tuple[Panel, ...]


def _panel(title: str, unit: str, *queries: Query | str, kind: str = "timeseries") -> Panel:
    return Panel(title, unit, tuple(Query(each) if isinstance(each, str) else each for each in queries), kind)


def _rate(metric: str, legend: str = "{{instance}}") -> Query:
    return Query(f"rate({metric}{{$S}}[$__rate_interval])", legend)


def _quantile(metric: str, quantile: float, labels: str = "instance", legend: str = "{{instance}}") -> Query:
    buckets = f"sum by (le, {labels}) (rate({metric}_bucket{{$S}}[$__rate_interval]))"
    return Query(f"histogram_quantile({quantile}, {buckets})", legend)


_READY = _panel("Ready", "short", "tickwire_ready{$S}", kind="stat")
_READERS = _panel("Readers", "short", "tickwire_readers{$S}")
_LATENCY = _panel(
    "Latency of ticks, median and 99 %",
    "s",
    _quantile("tickwire_latency_seconds", 0.5, legend="{{instance}} median"),
    _quantile("tickwire_latency_seconds", 0.99, legend="{{instance}} 99 %"),
)
_TICK_AGE = _panel("Age of the newest tick", "s", "tickwire_tick_age_seconds{$S}")

OVERVIEW = Dashboard(
    "overview",
    "Tickwire: overview",
    (
        _READY,
        _panel(
            "Feed state", "short", Query("tickwire_feed_state{$S}", "{{instance}} {{state}}"), kind="stat"
        ),
        _panel("Version", "short", Query("tickwire_build_info{$S}", "{{instance}} {{version}}"), kind="stat"),
        _READERS,
        _LATENCY,
        _panel("Deliveries per second", "short", _rate("tickwire_deliveries_total")),
        _TICK_AGE,
        _panel("Ticks per second", "short", _rate("tickwire_ticks_total")),
        _panel("Bytes to readers per second", "Bps", _rate("tickwire_sent_bytes_total")),
        _panel(
            "Stages of the data path, 99 %",
            "s",
            _quantile("tickwire_stage_seconds", 0.99, "stage", "{{stage}}"),
        ),
        _panel("Delay of the event loop, 99 %", "s", _quantile("tickwire_loop_lag_seconds", 0.99)),
        _panel("CPU", "percentunit", _rate("process_cpu_seconds_total")),
        _panel("Memory", "bytes", "process_resident_memory_bytes{$S}"),
        _panel("Requests per second", "reqps", Query(
            "sum by (route, status) (rate(tickwire_http_requests_total{$S}[$__rate_interval]))", "{{route}} {{status}}"
        )),
        _panel("Time to the response, 99 %", "s",
               _quantile("tickwire_http_request_seconds", 0.99, "route", "{{route}}")),
    ),
)  # fmt: skip
READERS = Dashboard(
    "readers",
    "Tickwire: readers",
    (
        _READERS,
        _panel(
            "Readers behind the head", "short", "tickwire_readers{$S} - tickwire_readers_live{$S}"
        ),
        _panel("Share of the readers that the server accepts", "percentunit",
               "tickwire_readers{$S} / tickwire_readers_limit{$S}"),
        _panel("Stream requests by outcome", "reqps",
               Query("sum by (outcome) (rate(tickwire_connects_total{$S}[$__rate_interval]))", "{{outcome}}")),
        _panel("Ended streams by reason", "reqps",
               Query("sum by (reason) (rate(tickwire_streams_closed_total{$S}[$__rate_interval]))", "{{reason}}")),
        _panel("Refused streams by reason", "reqps",
               Query("sum by (reason) (rate(tickwire_refused_total{$S}[$__rate_interval]))", "{{reason}}")),
        _panel("Resumes by outcome", "reqps",
               Query("sum by (outcome) (rate(tickwire_resumes_total{$S}[$__rate_interval]))", "{{outcome}}")),
        _panel("Gaps", "short", _rate("tickwire_gaps_total")),
        _panel("Catch-up, median and 99 %", "s",
               _quantile("tickwire_catchup_seconds", 0.5, legend="{{instance}} median"),
               _quantile("tickwire_catchup_seconds", 0.99, legend="{{instance}} 99 %")),
        _panel("Full sockets per second", "short", _rate("tickwire_stalls_total")),
        _panel("Conflated quotes per second", "short", _rate("tickwire_conflated_total")),
        _panel("Subscriptions", "short",
               Query("tickwire_channels{$S}", "{{instance}} distinct"),
               Query("tickwire_kept_subscriptions{$S}", "{{instance}} stored"),
               Query("tickwire_changed_subscriptions{$S}", "{{instance}} changed")),
        _panel("Denied requests by status", "reqps",
               Query("sum by (status) (rate(tickwire_denied_total{$S}[$__rate_interval]))", "{{status}}")),
        _panel("Bytes saved by compression per second", "Bps", _rate("tickwire_spared_bytes_total")),
        _panel("Sender", "short", Query("tickwire_sender{$S}", "{{instance}} {{sender}}"), kind="stat"),
    ),
)  # fmt: skip
FEEDS = Dashboard(
    "feeds",
    "Tickwire: feeds",
    (
        _TICK_AGE,
        _panel("Feed state", "short", Query("tickwire_feed_state{$S}", "{{instance}} {{state}}"), kind="stat"),
        _panel("Delay of live ticks at their arrival, 99 %", "s", Query(
            'histogram_quantile(0.99, sum by (le, instance) '
            '(rate(tickwire_stage_seconds_bucket{$S,stage="feed"}[$__rate_interval])))')),
        _panel("Connected to the vendor", "short", Query("tickwire_feed_connected{$S}", "{{feed}}"), kind="stat"),
        _panel("Age of the newest message", "s", Query("tickwire_feed_message_age_seconds{$S}", "{{feed}}")),
        _panel("Messages per second", "short", _rate("tickwire_feed_messages_total", "{{feed}}")),
        _panel("Reconnects in 10 minutes", "short",
               Query("increase(tickwire_feed_reconnects_total{$S}[10m])", "{{feed}}")),
        _panel("Times without prices in 10 minutes", "short",
               Query("increase(tickwire_feed_holes_total{$S}[10m])", "{{feed}}")),
        _panel("Dropped ticks by rule", "short", _rate("tickwire_feed_dropped_total", "{{feed}} {{rule}}")),
        _panel("Dirty ticks by kind", "short",
               Query("sum by (kind) (rate(tickwire_dirty_ticks_total{$S}[$__rate_interval]))", "{{kind}}")),
        _panel("Delay of published ticks, 99 %", "s",
               _quantile("tickwire_publish_delay_seconds", 0.99, "stage", "{{stage}}")),
        _panel("Published ticks with a wrong clock or ignored conditions", "short",
               Query("sum by (stage) (rate(tickwire_publish_clock_skews_total{$S}[$__rate_interval]))", "{{stage}}"),
               _rate("tickwire_ignored_conditions_total")),
        _panel("Lost ticks", "short", _rate("tickwire_feed_lost_ticks_total")),
        _panel("Trades too late for their candle", "short",
               Query("sum by (interval) (rate(tickwire_late_trades_total{$S}[$__rate_interval]))", "{{interval}}")),
        _panel("Model", "short", Query("tickwire_model{$S}", "{{version}}"), kind="stat"),
        _panel("Candles that wait", "short",
               Query("tickwire_candles_waiting{$S}", "{{instance}} for the archive"),
               Query("tickwire_candles_owed{$S}", "{{instance}} for the journal")),
        _panel("Dropped candles", "short", _rate("tickwire_candles_dropped_total")),
    ),
)  # fmt: skip
JOURNAL = Dashboard(
    "journal",
    "Tickwire: journal",
    (
        _panel("Appended events per second", "short", _rate("tickwire_journal_appended_total")),
        _panel("Commits per second", "short", _rate("tickwire_journal_batches_total")),
        _panel("Events in a commit, mean", "short", Query(
            "rate(tickwire_journal_commit_events_sum{$S}[$__rate_interval]) / "
            "rate(tickwire_journal_commit_events_count{$S}[$__rate_interval])")),
        _panel("Time of a commit, median and 99 %", "s",
               _quantile("tickwire_journal_commit_seconds", 0.5, legend="{{instance}} median"),
               _quantile("tickwire_journal_commit_seconds", 0.99, legend="{{instance}} 99 %")),
        _panel("From the append to this process, 99 %", "s", Query(
            'histogram_quantile(0.99, sum by (le, instance) '
            '(rate(tickwire_stage_seconds_bucket{$S,stage="journal"}[$__rate_interval])))')),
        _panel("Failed appends", "short", _rate("tickwire_journal_failed_appends_total")),
        _panel("Size", "bytes", "tickwire_journal_bytes{$S}"),
        _panel("Free space on the disk", "percentunit",
               "tickwire_journal_disk_free_bytes{$S} / tickwire_journal_disk_bytes{$S}"),
        _panel("Events that readers can resume from", "short",
               "tickwire_journal_head{$S} - tickwire_journal_first{$S} + 1"),
        _panel("Deleted events per second", "short", _rate("tickwire_journal_expired_total")),
        _panel("Events that the hub has not applied", "short", "tickwire_lag{$S}"),
        _panel("Damaged records", "short",
               _rate("tickwire_unreadable_total", "{{instance}} reads"),
               _rate("tickwire_unreadable_events_total", "{{instance}} events")),
        _panel("Unread messages of NATS", "short", "tickwire_nats_lag_messages{$S}"),
        _panel("Reconnects to NATS in 10 minutes", "short", "increase(tickwire_nats_reconnects_total{$S}[10m])"),
    ),
)  # fmt: skip
CLUSTER = Dashboard(
    "cluster",
    "Tickwire: cluster",
    (
        _READY,
        _panel("Process that runs the feed", "short", "tickwire_leads{$S}", kind="stat"),
        _panel("Version", "short", Query("tickwire_build_info{$S}", "{{instance}} {{version}}"), kind="stat"),
        _READERS,
        _panel("Newest event behind the most advanced process", "short",
               f"scalar(max(tickwire_journal_head{{{_JOB}}})) - tickwire_journal_head{{$S}}"),
        _panel("Events that the hub has not applied", "short", "tickwire_lag{$S}"),
        _LATENCY,
        _panel("CPU", "percentunit", _rate("process_cpu_seconds_total")),
        _panel("Memory", "bytes", "process_resident_memory_bytes{$S}"),
        _panel("Open files", "percentunit", "process_open_fds{$S} / process_max_fds{$S}"),
        _panel("Pauses by the garbage collector", "percentunit",
               Query("sum by (instance) (rate(tickwire_gc_pause_seconds_sum{$S}[$__rate_interval]))")),
        _panel("Uptime", "s", "tickwire_uptime_seconds{$S}", kind="stat"),
        _panel("Restarts of tasks in 10 minutes", "short",
               Query("increase(tickwire_task_restarts_total{$S}[10m])", "{{instance}} {{task}}")),
        _panel("Lost lines of logs", "short",
               _rate("tickwire_log_dropped_total", "{{instance}} log"),
               _rate("tickwire_audit_dropped_total", "{{instance}} audit log")),
        _panel("Spans of traces per second", "short", _rate("tickwire_trace_spans_total", "{{instance}} {{outcome}}")),
    ),
)  # fmt: skip
DASHBOARDS = (OVERVIEW, READERS, FEEDS, JOURNAL, CLUSTER)


def select(expression: str, labels: str = _SELECTOR) -> str:
    """Insert `labels` into the query; by default, the labels that the viewer has chosen."""
    return expression.replace("{$S}", f"{{{labels}}}" if labels else "").replace("$S", labels)


def render(dashboard: Dashboard) -> str:
    """Return the JSON text of a dashboard, as Grafana imports it."""
    model = {
        "title": dashboard.title,
        "uid": f"tickwire-{dashboard.name}",
        "tags": ["tickwire"],
        "schemaVersion": 39,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "15s",
        "time": {"from": "now-1h", "to": "now"},
        "links": [{"type": "dashboards", "tags": ["tickwire"], "title": "Tickwire", "asDropdown": True}],
        "templating": {"list": [_data_source(), _variable("job"), _variable("instance")]},
        "panels": [_render_panel(number, panel) for number, panel in enumerate(dashboard.panels)],
    }
    return json.dumps(model, indent=2) + "\n"


def _data_source() -> dict[str, Any]:
    return {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Data source"}


def _variable(label: str) -> dict[str, Any]:
    query = (
        f"label_values(tickwire_ready, {label})"
        if label == "job"
        else f"label_values(tickwire_ready{{{_JOB}}}, {label})"
    )
    return {
        "name": label,
        "type": "query",
        "datasource": {"type": "prometheus", "uid": "${datasource}"},
        "query": {"query": query, "refId": label},
        "refresh": 2,
        "includeAll": True,
        "multi": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }


def _render_panel(number: int, panel: Panel) -> dict[str, Any]:
    row, column = divmod(number, PANELS_PER_ROW)
    return {
        "id": number + 1,
        "title": panel.title,
        "type": panel.kind,
        "datasource": {"type": "prometheus", "uid": "${datasource}"},
        "gridPos": {"x": column * PANEL_WIDTH, "y": row * PANEL_HEIGHT, "w": PANEL_WIDTH, "h": PANEL_HEIGHT},
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "options": {"textMode": "value_and_name"} if panel.kind == "stat" else {"tooltip": {"mode": "multi"}},
        "targets": [
            {"refId": chr(ord("A") + index), "expr": select(query.expression), "legendFormat": query.legend}
            for index, query in enumerate(panel.queries)
        ],
    }


def main() -> int:
    """Write the dashboards. With `--check`, return 1 if a file is out of date."""
    outdated = []
    for dashboard in DASHBOARDS:
        path, text = FOLDER / f"{dashboard.name}.json", render(dashboard)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            outdated.append(path.name)
            if "--check" not in sys.argv:
                path.write_text(text, encoding="utf-8")
    print("\n".join(outdated) or "dashboards: up to date")
    return 1 if outdated and "--check" in sys.argv else 0


if __name__ == "__main__":
    sys.exit(main())
