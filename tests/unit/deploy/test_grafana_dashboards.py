"""The dashboards in deploy/grafana: they are generated, name metrics that exist, and their queries return data."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import re
import sys
from pathlib import Path
from types import ModuleType

import httpx2
import pytest

from tickwire.ops.metric_table import METRICS
from tickwire.testing.prometheus import PROMETHEUS, evaluate, run_prometheus
from tickwire.testing.server import run_server
from tickwire.testing.waiting import wait_until
from tickwire.testing.wire import open_stream

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "deploy" / "grafana"
RULES = ROOT / "deploy" / "prometheus" / "tickwire-rules.yml"
METRIC_NAME = re.compile(r"(?:tickwire|process)_\w+")
# A server without NATS and without a vendor has no samples of these metrics.
ABSENT_METRICS = {
    "tickwire_nats_lag_messages", "tickwire_nats_reconnects_total", "tickwire_feed_connected",
    "tickwire_feed_message_age_seconds", "tickwire_feed_messages_total", "tickwire_feed_reconnects_total",
    "tickwire_feed_holes_total", "tickwire_feed_dropped_total", "tickwire_refused_total",
    "tickwire_task_restarts_total", "tickwire_trace_spans_total",
}  # fmt: skip


def load_generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("grafana_generate", FOLDER / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


GENERATOR = load_generator()
QUERIES = {
    f"{dashboard.name}: {panel.title} {number}": query.expression
    for dashboard in GENERATOR.DASHBOARDS
    for panel in dashboard.panels
    for number, query in enumerate(panel.queries)
}


def metrics_of(expression: str) -> set[str]:
    names = METRIC_NAME.findall(expression)
    return {name if name in METRICS else re.sub(r"_(?:bucket|sum|count)$", "", name) for name in names}


@pytest.mark.parametrize("dashboard", GENERATOR.DASHBOARDS, ids=lambda dashboard: dashboard.name)
def test_the_files_are_up_to_date(dashboard) -> None:
    text = (FOLDER / f"{dashboard.name}.json").read_text()
    assert text == GENERATOR.render(dashboard), "run: python deploy/grafana/generate.py"
    ids = [panel["id"] for panel in json.loads(text)["panels"]]
    assert len(ids) == len({*ids})


def test_queries_name_metrics_that_exist() -> None:
    assert {name for query in QUERIES.values() for name in metrics_of(query)} - METRICS.keys() == set()


def test_every_metric_is_on_a_dashboard_or_is_an_alias() -> None:
    """An operator should find each metric, except a metric with the same values as another metric."""
    shown = {name for query in QUERIES.values() for name in metrics_of(query)}
    assert METRICS.keys() - shown == {
        "tickwire_revoked", "tickwire_streams_opened_total", "tickwire_events_total", "tickwire_models_total",
        "tickwire_unlogged_requests_total", "tickwire_memory_bytes", "tickwire_loop_delay_seconds",
        "process_virtual_memory_bytes", "process_threads", "process_start_time_seconds",
    }  # fmt: skip


@pytest.mark.long
@pytest.mark.skipif(PROMETHEUS is None, reason="Prometheus is not installed")
async def test_every_query_returns_data_of_a_loaded_server(tmp_path: Path) -> None:
    async with contextlib.AsyncExitStack() as stack:
        server = await stack.enter_async_context(
            run_server(feed="simulator", journal=f"sqlite:{tmp_path / 'journal.sqlite'}")
        )
        targets = {"a": server.url.removeprefix("http://")}
        prometheus = await stack.enter_async_context(run_prometheus(tmp_path, targets, RULES))
        stream = await stack.enter_async_context(open_stream(server.url))
        await stream.next_events(10)
        epoch = server.runtime.journal.epoch
        async with open_stream(server.url, headers={"last-event-id": f"{epoch}-1"}) as second:
            await second.next_events(1, name="welcome")
        async with httpx2.AsyncClient(base_url=server.url) as client:
            await client.get("/v1/quotes")
        for expression in QUERIES.values():
            if metrics_of(expression) & ABSENT_METRICS:
                continue
            query = GENERATOR.select(expression, 'job="tickwire"').replace("$__rate_interval", "1m")
            query = re.sub(r'job=~"\$job"', 'job="tickwire"', query)
            await wait_until(lambda query=query: _has_data(prometheus, query))
        for rule in ("instance:tickwire_fresh:bool", "instance:tickwire_latency:ratio_rate5m"):
            await wait_until(lambda rule=rule: _has_data(prometheus, rule))


async def _has_data(client: httpx2.AsyncClient, query: str) -> bool:
    return bool(await evaluate(client, query))
