"""The table of all metrics: their names, kinds, labels and meanings.

`metrics.py` reads the values. docs/operations/metrics.md, the dashboards of Grafana and the alert rules of Prometheus
use these names, and tests compare their names with this table.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

MetricKind = Literal["counter", "gauge", "histogram"]


class Metric(NamedTuple):
    """One metric family. `help_text` is one line."""

    name: str
    kind: MetricKind
    help_text: str
    labels: tuple[str, ...] = ()


def _counter(name: str, help_text: str, *labels: str) -> Metric:
    return Metric(f"tickwire_{name}", "counter", help_text, labels)


def _gauge(name: str, help_text: str, *labels: str) -> Metric:
    return Metric(f"tickwire_{name}", "gauge", help_text, labels)


def _histogram(name: str, help_text: str, *labels: str) -> Metric:
    return Metric(f"tickwire_{name}", "histogram", help_text, labels)


_READERS = (
    _gauge("readers", "connected readers"),
    _gauge("readers_live", "readers that have received every event up to the newest event"),
    _gauge("readers_limit", "readers that the server accepts"),
    _gauge("channels", "channels: groups of readers with equal subscriptions"),
    _gauge("changed_subscriptions", "subscriptions that clients changed without a reconnect"),
    _gauge("kept_subscriptions", "stored subscriptions"),
    _gauge("revoked", "revoked users and tokens"),
    _counter("deliveries_total", "events written to live readers"),
    _counter("sent_bytes_total", "bytes sent to readers"),
    _counter("spared_bytes_total", "bytes saved by compression"),
    _counter("stalls_total", "times that a reader's socket was full"),
    _counter("conflated_total", "quotes that a newer quote replaced before they were sent"),
    _counter("gaps_total", "gap events sent to readers"),
    _counter("streams_opened_total", "streams opened"),
    _counter("streams_closed_total", "streams closed", "reason"),
    _counter("refused_total", "stream requests that the server refused", "reason"),
    _counter(
        "connects_total", "stream requests by outcome: opened, denied, limited, invalid, refused, failed", "outcome"
    ),
    _counter(
        "resumes_total",
        "streams that resumed after an event id or a time, by outcome: complete, gap, expired",
        "outcome",
    ),
    _histogram("catchup_seconds", "time from the start of a catch-up until its reader was live"),
    _gauge("sender", "the sender in use, as a label; it writes events to the sockets of readers", "sender"),
)
_LATENCY = (
    _histogram(
        "latency_seconds",
        "time from the append of a tick to the journal until its quote is written to the live readers",
    ),
    _histogram("stage_seconds", "time in one stage: feed, journal, apply, dispatch, flush", "stage"),
    _gauge("lag", "durable events that the hub has not applied yet"),
    _gauge("loop_delay_seconds", "longest delay of an event loop timer in the last 5 s"),
    _histogram("loop_lag_seconds", "delays of event loop timers"),
    _histogram("gc_pause_seconds", "pauses by Python's garbage collector", "generation"),
)
_JOURNAL = (
    _counter("events_total", "events that this process has applied"),
    _counter("ticks_total", "ticks that this process has applied"),
    _gauge("journal_head", "sequence number of the newest durable event"),
    _gauge("journal_first", "sequence number of the oldest readable event"),
    _counter("journal_appended_total", "events appended to the journal"),
    _counter("journal_batches_total", "commits of the journal"),
    _counter("journal_expired_total", "old events that the journal deleted"),
    _counter("journal_failed_appends_total", "appends that the journal did not accept"),
    _gauge("journal_bytes", "size of the journal"),
    _histogram("journal_commit_seconds", "duration of a commit of the journal"),
    _histogram("journal_commit_events", "events in a commit of the journal"),
    _gauge("journal_disk_bytes", "size of the disk with the journal"),
    _gauge("journal_disk_free_bytes", "free space on the disk with the journal"),
    _counter("unreadable_total", "failed reads of the journal's history"),
    _counter("unreadable_events_total", "events in the journal that are not valid"),
    _counter("nats_reconnects_total", "reconnects to the NATS server"),
    _gauge("nats_lag_messages", "messages of the NATS stream that this process has not read (measured every 5 s)"),
)
_FEEDS = (
    _gauge("feed_state", "always 1; the label names the state of the feed", "state"),
    _gauge("tick_age_seconds", "time since the newest tick"),
    _gauge("feed_connected", "1 if the feed is connected to its vendor, else 0", "feed"),
    _gauge("feed_message_age_seconds", "time since the newest message of the vendor", "feed"),
    _counter("feed_reconnects_total", "connections to the vendor after the first connection", "feed"),
    _counter("feed_messages_total", "messages of the vendor", "feed"),
    _counter("feed_dropped_total", "ticks and messages of the vendor that the feed dropped", "feed", "rule"),
    _counter("feed_holes_total", "lost connections to the vendor that left a gap in the prices", "feed"),
    _counter("feed_lost_ticks_total", "ticks of the feed that may be missing from the journal"),
    _counter("dirty_ticks_total", "dirty ticks: ticks that were late, unusual or dropped", "kind"),
    _histogram(
        "publish_delay_seconds",
        "delay of published ticks: from ts to recv_ts (source), from recv_ts to the arrival (publisher)",
        "stage",
    ),
    _counter("publish_clock_skews_total", "negative delays of published ticks: a clock is wrong", "stage"),
    _counter("ignored_conditions_total", "published trades whose conditions have no effect without --conditions sip"),
    _gauge("model", "the version of the simulator's model, as a label", "version"),
    _counter("models_total", "models that the simulator received, and failed attempts to fetch a model", "outcome"),
    _counter("late_trades_total", "trades that arrived after their candle had closed", "interval"),
    _gauge("candles_waiting", "closed candles that the archive has not written yet"),
    _counter("candles_dropped_total", "closed candles that the archive dropped"),
    _gauge("candles_owed", "closed candles that are not in the journal yet"),
)
_SERVER = (
    _gauge("ready", "1 if /readyz answers 200, 0 if it answers 503"),
    _gauge("leads", "1 if this process runs the feed, else 0"),
    _counter("http_requests_total", "HTTP requests", "method", "route", "status"),
    _histogram("http_request_seconds", "time from a request to the start of its response", "route"),
    _counter("denied_total", "requests denied for missing rights or for exceeding a rate limit", "status"),
    _counter(
        "unlogged_requests_total", "probes, publishes and streams that the request log omits at the level info", "call"
    ),
    _counter("audit_dropped_total", "lines that the audit log could not write"),
    _counter("log_dropped_total", "log lines that were lost because the output was blocked or failed"),
    _counter(
        "trace_spans_total", "ended spans: sent to the collector, failed to send, dropped by a full queue", "outcome"
    ),
    _counter("task_restarts_total", "restarts of a background task that died", "task"),
    _gauge("build_info", "always 1; the labels name the versions of Tickwire and Python", "version", "python"),
    _gauge("uptime_seconds", "time since the server started"),
    _gauge("memory_bytes", "resident memory of the process"),
    Metric("process_cpu_seconds_total", "counter", "CPU time of the process"),
    Metric("process_resident_memory_bytes", "gauge", "resident memory of the process"),
    Metric("process_virtual_memory_bytes", "gauge", "virtual memory of the process"),
    Metric("process_open_fds", "gauge", "open files of the process"),
    Metric("process_max_fds", "gauge", "limit of open files of the process"),
    Metric("process_threads", "gauge", "threads of the process"),
    Metric("process_start_time_seconds", "gauge", "start time of the process since the Unix epoch"),
)

METRIC_GROUPS = {"Readers": _READERS, "Latency": _LATENCY, "Journal": _JOURNAL, "Feeds": _FEEDS, "Server": _SERVER}
METRICS = {metric.name: metric for group in METRIC_GROUPS.values() for metric in group}
