"""The values of the metrics of one server. `metric_table.py` declares the metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from tickwire.candles.recorder import CandleStats
from tickwire.core.histogram import HistogramCounts
from tickwire.feeds.base import ConnectionState, FeedPart
from tickwire.hub.hub import HubStats
from tickwire.journal.base import JournalStats
from tickwire.ops.exposition import FamilyValue, MetricsFormat, render_family
from tickwire.ops.metric_table import METRICS
from tickwire.ops.monitor import ProcessStats
from tickwire.ops.process_resources import DiskSpace, ProcessResources


class FeedStats(NamedTuple):
    """Statistics of the feed in one process."""

    # The state of the feed, such as `running`.
    state: str
    # Whether this process runs the feed.
    leads: bool
    # The number of ticks that may be missing from the journal.
    lost_ticks: int
    # The age of the newest tick, in seconds, or None before the first tick.
    tick_age_s: float | None
    # The version of the simulator's model, or None for a feed without a model.
    model_version: str | None
    # The number of models that were offered to the simulator, by outcome.
    model_counts: Mapping[str, int]
    # The number of dirty ticks, by kind.
    dirty_ticks: Mapping[str, int]
    # The delays of published ticks by stage, the negative delays, and the trades whose conditions have no effect.
    publish_delays: Mapping[str, HistogramCounts]
    publish_clock_skews: Mapping[str, int]
    ignored_conditions: int
    # The connections of the feed to other computers.
    parts: Sequence[FeedPart] = ()


class HealthStats(NamedTuple):
    """Whether the server is ready, and the counters of its faults."""

    # Whether `/readyz` answers 200.
    is_ready: bool
    # The number of appends that the journal did not accept, including retries.
    failed_appends: int
    # The number of restarts after an unexpected error, by background task.
    task_restarts: Mapping[str, int]


class RequestStats(NamedTuple):
    """Counters of the HTTP requests to one process."""

    # The number of refused streams, by reason.
    refused_streams: Mapping[str, int]
    # The number of stream requests, and of streams that resumed, by outcome.
    connects: Mapping[str, int]
    resumes: Mapping[str, int]
    # The number of requests by method, route and status, and the time to the start of the response by route.
    requests: Mapping[tuple[str, str, str], int]
    request_times: Mapping[str, HistogramCounts]
    # The number of denied requests, by HTTP status.
    denied_requests: Mapping[int, int]
    dropped_audit_lines: int
    dropped_log_lines: int
    # The number of successful probes and publishes, by API call. The request log omits these requests.
    unlogged_requests: Mapping[str, int]
    max_readers: int


class SystemStats(NamedTuple):
    """The versions of the program, and the operating system's measurements of its process."""

    version: str
    python_version: str
    sender: str
    resources: ProcessResources
    # The disk with the journal, or None for a journal without files on this machine.
    disk: DiskSpace | None
    # The number of spans by outcome; empty if the server traces nothing.
    span_counts: Mapping[str, int] = {}


def render_metrics(  # noqa: PLR0917  # six parts, each of its own type
    process: ProcessStats,
    feed: FeedStats,
    candles: CandleStats,
    requests: RequestStats,
    health: HealthStats,
    system: SystemStats,
    *,
    text_format: MetricsFormat,
) -> str:
    """Return all metric families of a server as one text."""
    values = {
        **_reader_values(process.hub_stats, requests, system),
        **_latency_values(process),
        **_journal_values(process.hub_stats, process.journal_stats, health, system.disk),
        **_feed_values(feed),
        **_candle_values(candles),
        **_server_values(process, feed, requests, health, system),
        **_process_values(system.resources),
    }
    families = [render_family(metric, values[name], text_format) for name, metric in METRICS.items()]
    return "".join(families) + text_format.end_line


def _reader_values(stats: HubStats, requests: RequestStats, system: SystemStats) -> dict[str, FamilyValue]:
    return {
        "tickwire_readers": stats.readers,
        "tickwire_readers_live": stats.live_readers,
        "tickwire_readers_limit": requests.max_readers,
        "tickwire_channels": stats.channels,
        "tickwire_changed_subscriptions": stats.changed_subscriptions,
        "tickwire_kept_subscriptions": stats.stored_subscriptions,
        "tickwire_revoked": stats.revocations,
        "tickwire_deliveries_total": stats.deliveries,
        "tickwire_sent_bytes_total": stats.bytes_sent,
        "tickwire_spared_bytes_total": stats.bytes_saved,
        "tickwire_stalls_total": stats.stalls,
        "tickwire_conflated_total": stats.conflated_quotes,
        "tickwire_gaps_total": stats.gaps,
        "tickwire_streams_opened_total": stats.streams_opened,
        "tickwire_streams_closed_total": stats.streams_closed,
        "tickwire_refused_total": requests.refused_streams,
        "tickwire_connects_total": requests.connects,
        "tickwire_resumes_total": requests.resumes,
        "tickwire_catchup_seconds": stats.catch_up_times,
        "tickwire_sender": {system.sender: 1},
    }


def _latency_values(process: ProcessStats) -> dict[str, FamilyValue]:
    return {
        "tickwire_latency_seconds": process.latency.coarse_counts(),
        "tickwire_stage_seconds": process.stage_times,
        "tickwire_lag": process.lag_events,
        "tickwire_loop_delay_seconds": process.loop_delay_s,
        "tickwire_loop_lag_seconds": process.loop_lag,
        "tickwire_gc_pause_seconds": process.gc_pauses,
    }


def _journal_values(
    hub_stats: HubStats, stats: JournalStats, health: HealthStats, disk: DiskSpace | None
) -> dict[str, FamilyValue]:
    return {
        "tickwire_events_total": hub_stats.events,
        "tickwire_ticks_total": hub_stats.ticks,
        "tickwire_journal_head": stats.head,
        "tickwire_journal_first": stats.first,
        "tickwire_journal_appended_total": stats.appended_events,
        "tickwire_journal_batches_total": stats.commits,
        "tickwire_journal_expired_total": stats.expired_events,
        "tickwire_journal_failed_appends_total": health.failed_appends,
        "tickwire_journal_bytes": stats.size_bytes,
        "tickwire_journal_commit_seconds": stats.commit_times,
        "tickwire_journal_commit_events": stats.commit_sizes,
        "tickwire_journal_disk_bytes": None if disk is None else disk.size_bytes,
        "tickwire_journal_disk_free_bytes": None if disk is None else disk.free_bytes,
        "tickwire_unreadable_total": hub_stats.unreadable_gaps,
        "tickwire_unreadable_events_total": hub_stats.unreadable_events,
        "tickwire_nats_reconnects_total": stats.reconnects,
        "tickwire_nats_lag_messages": stats.unread_messages,
    }


def _feed_values(feed: FeedStats) -> dict[str, FamilyValue]:
    version = feed.model_version
    return {
        "tickwire_feed_state": {feed.state: 1},
        "tickwire_tick_age_seconds": feed.tick_age_s,
        "tickwire_feed_connected": {
            part.name: int(part.connection.state is ConnectionState.CONNECTED) for part in feed.parts
        },
        "tickwire_feed_message_age_seconds": {part.name: part.last_message_age_s or 0.0 for part in feed.parts},
        "tickwire_feed_reconnects_total": {part.name: part.reconnects for part in feed.parts},
        "tickwire_feed_messages_total": {part.name: part.messages for part in feed.parts},
        "tickwire_feed_dropped_total": {
            (part.name, kind.value): count
            for part in feed.parts
            for kind, count in part.dirty_ticks.counts.items()
            if kind.rule == "drop"
        },
        "tickwire_feed_holes_total": {part.name: part.holes for part in feed.parts},
        "tickwire_feed_lost_ticks_total": feed.lost_ticks,
        "tickwire_dirty_ticks_total": feed.dirty_ticks,
        "tickwire_publish_delay_seconds": feed.publish_delays,
        "tickwire_publish_clock_skews_total": feed.publish_clock_skews,
        "tickwire_ignored_conditions_total": feed.ignored_conditions,
        "tickwire_model": {} if version is None else {version: 1},
        "tickwire_models_total": feed.model_counts,
    }


def _candle_values(candles: CandleStats) -> dict[str, FamilyValue]:
    return {
        "tickwire_late_trades_total": candles.late_trades,
        "tickwire_candles_waiting": candles.unwritten_candles,
        "tickwire_candles_dropped_total": candles.dropped_candles,
        "tickwire_candles_owed": candles.unpublished_candles,
    }


def _server_values(
    process: ProcessStats, feed: FeedStats, requests: RequestStats, health: HealthStats, system: SystemStats
) -> dict[str, FamilyValue]:
    return {
        "tickwire_ready": int(health.is_ready),
        "tickwire_leads": int(feed.leads),
        "tickwire_http_requests_total": requests.requests,
        "tickwire_http_request_seconds": requests.request_times,
        "tickwire_denied_total": {str(status): count for status, count in requests.denied_requests.items()},
        "tickwire_unlogged_requests_total": requests.unlogged_requests,
        "tickwire_audit_dropped_total": requests.dropped_audit_lines,
        "tickwire_log_dropped_total": requests.dropped_log_lines,
        "tickwire_trace_spans_total": system.span_counts,
        "tickwire_task_restarts_total": health.task_restarts,
        "tickwire_build_info": {(system.version, system.python_version): 1},
        "tickwire_uptime_seconds": process.uptime_s,
        "tickwire_memory_bytes": process.memory_bytes,
    }


def _process_values(resources: ProcessResources) -> dict[str, FamilyValue]:
    return {
        "process_cpu_seconds_total": resources.cpu_s,
        "process_resident_memory_bytes": resources.resident_bytes,
        "process_virtual_memory_bytes": resources.virtual_bytes,
        "process_open_fds": resources.open_files,
        "process_max_fds": resources.max_open_files,
        "process_threads": resources.threads,
        "process_start_time_seconds": resources.start_time_s,
    }
