"""The overview for operators: measurements and samples of this process, and the processes of the cluster."""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated, Any, Literal

from fastapi import Query, Request
from starlette.responses import Response

from tickwire.core.codec import encode_json
from tickwire.journal.base import JournalStats
from tickwire.ops.monitor import MAX_MINUTES, SAMPLE_INTERVAL_S, SAMPLES_PER_MINUTE, ProcessStats
from tickwire.server.api_router import create_router
from tickwire.server.service import Service

routes = create_router("health")
_VERSION = version("tickwire")


@routes.get("/v1/cluster", response_class=Response)
async def read_cluster(request: Request) -> Response:
    """Return the processes of the cluster: their roles, readers, positions and problems.

    The server asks all processes. If a process does not answer in time, `unanswered` contains its id.
    """
    service: Service = request.app.state.service
    return Response(encode_json(await service.cluster_processes.describe_all()), media_type="application/json")


@routes.get("/v1/operations", response_class=Response)
async def read_operations(
    request: Request,
    samples: Annotated[int, Query(ge=0, le=MAX_MINUTES, description="the maximum number of samples")] = MAX_MINUTES,
    span: Annotated[
        Literal["15m", "24h"],
        Query(description="`15m` returns one sample per 5 seconds, and `24h` returns one sample per minute"),
    ] = "15m",
) -> Response:
    """Return the current measurements of this server, and samples of the last 15 minutes or of the last day.

    The server measures readers, rates, latencies, losses, memory, feeds and the journal.
    """
    service: Service = request.app.state.service
    monitor = service.monitor
    stats = monitor.current_stats()
    ring, seconds = (
        (monitor.samples, SAMPLE_INTERVAL_S)
        if span == "15m"
        else (monitor.minutes, SAMPLE_INTERVAL_S * SAMPLES_PER_MINUTE)
    )
    overview = {
        "version": _VERSION,
        "uptime": round(stats.uptime_s, 3),
        "head": str(service.live_hub.head),
        **_describe_feeds(service),
        "journal": _describe_journal(stats.journal_stats),
        "sender": service.live_hub.sender.name,
        "readers": stats.hub_stats.readers,
        "behind": stats.hub_stats.readers - stats.hub_stats.live_readers,
        "max_readers": service.limits.max_readers,
        "channels": stats.hub_stats.channels,
        "lag": stats.lag_events,
        "memory": stats.memory_bytes,
        "totals": _totals(stats, service),
        "stages": {stage: times._asdict() for stage, times in monitor.stage_percentiles.items()},
        "history": {"seconds": seconds, **ring.newest(samples)},
    }
    return Response(encode_json(overview), media_type="application/json")


def _describe_feeds(service: Service) -> dict[str, Any]:
    health = service.runtime.health()
    feed = {"feed": health.feed, "mode": health.mode, "state": health.state, "last_tick_age": health.last_tick_age_s}
    return {"problems": [problem.describe() for problem in health.problems], "feeds": [feed]}


def _describe_journal(stats: JournalStats) -> dict[str, Any]:
    server = {"server_version": stats.server_version} if stats.server_version else {}
    return {
        **server,
        "kind": stats.kind,
        "events": stats.head - stats.first + 1,
        "bytes": stats.size_bytes,
        "expired": stats.expired_events,
    }


def _totals(process_stats: ProcessStats, service: Service) -> dict[str, Any]:
    """Return the counters since the start of the server."""
    stats = process_stats.hub_stats
    return {
        "events": stats.events,
        "ticks": stats.ticks,
        "deliveries": stats.deliveries,
        "bytes": stats.bytes_sent,
        "spared": stats.bytes_saved,
        "stalls": stats.stalls,
        "conflated": stats.conflated_quotes,
        "gaps": stats.gaps,
        "opened": stats.streams_opened,
        "closed": stats.streams_closed,
        "refused": dict(service.refused_streams),
    }
