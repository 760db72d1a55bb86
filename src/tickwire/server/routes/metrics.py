"""Return metrics over HTTP."""

from __future__ import annotations

import asyncio
import platform
from importlib.metadata import version

from fastapi import Request
from starlette.responses import Response

from tickwire.ops.exposition import choose_format
from tickwire.ops.log_handler import dropped_log_lines
from tickwire.ops.metrics import FeedStats, HealthStats, RequestStats, SystemStats, render_metrics
from tickwire.ops.process_resources import read_disk_space, read_process_resources
from tickwire.runtime.runtime import Runtime
from tickwire.server.api_router import create_router
from tickwire.server.middleware.audit import AuditLog
from tickwire.server.middleware.request_metrics import RequestMetrics
from tickwire.server.service import Service

routes = create_router("health")
_VERSION = version("tickwire")


@routes.get("/metrics", response_class=Response)
async def read_metrics(request: Request) -> Response:
    """Return counters, gauges and histograms for Prometheus.

    The header `Accept` chooses between the Prometheus text format, which is the default, and OpenMetrics.
    """
    text_format = choose_format(request.headers.get("accept", ""))
    service: Service = request.app.state.service
    runtime = service.runtime
    # Read the resources in a thread, because the operating system may take long to answer, for example for a slow disk.
    resources = await asyncio.to_thread(read_process_resources)
    disk = await asyncio.to_thread(read_disk_space, runtime.journal.stats().folder)
    health = runtime.health()
    text = render_metrics(
        runtime.monitor.current_stats(),
        _feed_stats(runtime),
        runtime.candle_recorder.stats(),
        _request_stats(request, service),
        HealthStats(
            is_ready=not health.problems,
            failed_appends=runtime.appender.failed_appends,
            task_restarts=runtime.supervisor.restarts,
        ),
        SystemStats(
            _VERSION,
            platform.python_version(),
            service.live_hub.sender.name,
            resources,
            disk,
            {} if runtime.tracing is None else runtime.tracing.span_counts(),
        ),
        text_format=text_format,
    )
    return Response(text, media_type=text_format)


def _feed_stats(runtime: Runtime) -> FeedStats:
    health = runtime.health()
    return FeedStats(
        state=health.state,
        leads=health.runs_feed,
        lost_ticks=runtime.feed_runner.lost_ticks,
        tick_age_s=health.last_tick_age_s,
        model_version=runtime.status.model_version,
        model_counts=runtime.feed_runner.controller.model_counts(),
        dirty_ticks=runtime.dirty_ticks(),
        publish_delays=runtime.publish_stats.delays(),
        publish_clock_skews=runtime.publish_stats.clock_skews,
        ignored_conditions=runtime.publish_stats.ignored_conditions,
        parts=health.parts,
    )


def _request_stats(request: Request, service: Service) -> RequestStats:
    audit_log: AuditLog | None = request.app.state.audit
    request_metrics: RequestMetrics = request.app.state.request_metrics
    return RequestStats(
        refused_streams=service.refused_streams,
        connects=request_metrics.connects,
        resumes=service.resumes,
        requests=request_metrics.request_counts(),
        request_times=request_metrics.request_times(),
        denied_requests=request.app.state.denied,
        dropped_audit_lines=0 if audit_log is None else audit_log.dropped,
        dropped_log_lines=dropped_log_lines(),
        unlogged_requests=request.app.state.unlogged,
        max_readers=service.limits.max_readers,
    )
