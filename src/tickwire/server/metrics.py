"""What was counted, in Prometheus' text format: numbers that the hub and the journal keep anyway.

The format is "text-based exposition format" 0.0.4: for each family its help, its type, and its samples.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate

from fastapi import APIRouter, Request
from starlette.responses import Response

from tickwire.feeds.desk import Desk
from tickwire.hub.hub import HubStats
from tickwire.journal.base import JournalStats
from tickwire.server.audit import Audit
from tickwire.server.latency import BOUNDS, OCTAVE, Latency
from tickwire.server.service import Service

routes = APIRouter(tags=["health"])
_MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@routes.get("/metrics", response_class=Response)
async def read_metrics(request: Request) -> Response:
    """Counters and gauges for Prometheus."""
    service: Service = request.app.state.service
    now = service.monitor.figures()
    families = [
        *_hub(now.hub),
        *_journal(now.journal),
        _histogram("latency_seconds", "from the journal's taking a tick to its quote's being written", now.latency),
        _family("lag", "durable events that are not applied yet", now.lag),
        _family("loop_delay_seconds", "how late the event loop came to a timer in 5 s, at most", now.loop_delay),
        _family("memory_bytes", "resident memory of the process", now.memory),
        _family("uptime_seconds", "time since the server began", now.uptime),
        _family("refused_total", "stream requests that got no stream", service.refused, label="reason"),
        _family("denied_total", "requests refused for who asks, or how often", _denied(request), label="status"),
        *_models(service.desk),
        _family("tick_age_seconds", "time since the newest tick", _age(service)),
        *_losses(service, request.app.state.audit),
    ]
    return Response("".join(families), media_type=_MEDIA_TYPE)


def _hub(stats: HubStats) -> list[str]:
    return [
        _family("readers", "connected readers", stats.readers),
        _family("readers_live", "readers that have everything up to the head", stats.live),
        _family("channels", "different subscriptions", stats.channels),
        _family("changed_subscriptions", "subscriptions that were changed while connected", stats.changed),
        _family("revoked", "users and tokens that are refused before their time", stats.revoked),
        _family("kept_subscriptions", "subscriptions put down for streams to name", stats.kept),
        _family("events_total", "events applied", stats.events),
        _family("ticks_total", "ticks among them", stats.ticks),
        _family("deliveries_total", "events written to live readers", stats.deliveries),
        _family("sent_bytes_total", "bytes that readers were sent", stats.bytes),
        _family("stalls_total", "times that a reader's socket was full", stats.stalls),
        _family("conflated_total", "quotes that a newer one replaced before they were sent", stats.conflated),
        _family("gaps_total", "gaps that readers were told of", stats.gaps),
        _family("unreadable_total", "times that the journal could not read what it holds", stats.unreadable),
        _family("streams_opened_total", "streams begun", stats.opened),
        _family("streams_closed_total", "streams ended", stats.closed, label="reason"),
        _family("spared_bytes_total", "bytes that compression spared readers", stats.spared),
    ]


def _journal(stats: JournalStats) -> list[str]:
    return [
        _family("journal_head", "number of the newest durable event", stats.head),
        _family("journal_first", "number of the oldest event that can be read", stats.first),
        _family("journal_appended_total", "events appended", stats.appended),
        _family("journal_batches_total", "commits", stats.batches),
        _family("journal_expired_total", "events dropped by retention", stats.expired),
        _family("journal_bytes", "size of the journal", stats.bytes),
    ]


def _models(desk: Desk) -> list[str]:
    version = desk.describe()["model"]
    return [
        _family("model", "the simulator's model", {} if version is None else {version["version"]: 1}, label="version"),
        _family(
            "models_total", "models offered to the simulator, and looks that found none", desk.counts(), label="outcome"
        ),
    ]


def _losses(service: Service, audit: Audit | None) -> list[str]:
    """What did not get where it should, and what is still on its way there."""
    candles = service.chronicle()
    return [
        _family("late_trades_total", "trades too late for their candle", candles.late, label="interval"),
        _family("candles_waiting", "closed candles that are not written yet", candles.waiting),
        _family("candles_dropped_total", "closed candles that could not be written", candles.dropped),
        _family("candles_owed", "closed candles that are no events yet", candles.owed),
        _family("feed_lost_ticks_total", "ticks of the feed that may not have been kept", service.lost()),
        _family(
            "audit_dropped_total", "lines that the audit log could not take", 0 if audit is None else audit.dropped
        ),
    ]


def _family(name: str, text: str, value: float | Mapping[str, int] | None, *, label: str = "") -> str:
    """One family; a mapping has a sample for each value of `label`, None has no sample."""
    full = f"tickwire_{name}"
    kind = "counter" if name.endswith("_total") else "gauge"
    head = f"# HELP {full} {text}\n# TYPE {full} {kind}\n"
    if isinstance(value, Mapping):
        return head + "".join(f'{full}{{{label}="{_escaped(key)}"}} {count}\n' for key, count in sorted(value.items()))
    return head if value is None else f"{head}{full} {value}\n"


def _histogram(name: str, text: str, latency: Latency) -> str:
    """A histogram with a bucket for each doubling: its counts are cumulative, so those between can be left out."""
    full, counts = f"tickwire_{name}", [*accumulate(latency.counts)]
    bounds = zip(BOUNDS[::OCTAVE], counts[::OCTAVE], strict=False)
    lines = [f'{full}_bucket{{le="{bound / 1e9:g}"}} {count}\n' for bound, count in bounds]
    lines += [f'{full}_bucket{{le="+Inf"}} {counts[-1]}\n', f"{full}_sum {latency.sum / 1e9}\n"]
    return f"# HELP {full} {text}\n# TYPE {full} histogram\n" + "".join(lines) + f"{full}_count {counts[-1]}\n"


def _denied(request: Request) -> dict[str, int]:
    return {str(status): count for status, count in request.app.state.denied.items()}


def _age(service: Service) -> float | None:
    return service.health().last_tick_age


def _escaped(text: str) -> str:
    """A label's value as the format wants it: a model's version may be any text."""
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
