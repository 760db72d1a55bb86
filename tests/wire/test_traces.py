"""Traces of one server: the spans of requests, appends and deliveries, and a collector that does not work."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import logging
import time

import httpx2
import pytest
from opentelemetry.sdk.trace import ReadableSpan
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from tickwire.core.event import JournalRecord, RecordKind
from tickwire.errors import SettingsError
from tickwire.hub.hub import FlushTimes
from tickwire.ops.log_format import JsonFormatter
from tickwire.ops.tracing import provider, span_queue
from tickwire.server.routes.stream import StreamEndpoint
from tickwire.testing.otlp_receiver import run_otlp_receiver
from tickwire.testing.ports import find_free_port
from tickwire.testing.prometheus import PROMETHEUS, run_prometheus
from tickwire.testing.server import run_server
from tickwire.testing.tokens import TEST_SECRET, bearer_header, sign_token
from tickwire.testing.waiting import wait_until
from tickwire.testing.wire import open_stream

SERVER_KIND, PRODUCER_KIND, CONSUMER_KIND, INTERNAL_KIND = 2, 4, 5, 1
ERROR_STATUS = 2
STAGES = ["apply", "dispatch", "flush"]
TICK = {"symbol": "A", "last": 1.5}


@pytest.fixture(autouse=True)
def receiver(monkeypatch):
    """The collector that OTEL_EXPORTER_OTLP_ENDPOINT names. Spans arrive there soon after their end."""
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
    with run_otlp_receiver() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.endpoint)
        yield receiver


class JsonLines(logging.Handler):
    """Collects the JSON lines of the log."""

    def __init__(self):
        super().__init__()
        self.setFormatter(JsonFormatter())
        self.lines = []

    def emit(self, record):
        self.lines.append(json.loads(self.format(record)))


@pytest.fixture
def log_lines():
    handler, root = JsonLines(), logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield handler.lines
    root.removeHandler(handler)
    root.setLevel(level)


def count_stream_spans():
    """Return the number of span objects of stream requests in this process."""
    gc.collect()
    # `isinstance` would ask dead weak proxies for their class, which raises ReferenceError.
    spans = [each for each in gc.get_objects() if issubclass(type(each), ReadableSpan)]
    return sum(span.name == "GET /v1/stream" for span in spans)


async def find_exemplars(prometheus, trace_id):
    """Return the names of the series that have an exemplar with a trace id."""
    query = {"query": '{__name__=~"tickwire_.+_bucket"}', "start": str(time.time() - 600), "end": str(time.time() + 60)}
    try:
        answer = await prometheus.get("/api/v1/query_exemplars", params=query)
    except httpx2.TransportError:
        return set()
    return {
        series["seriesLabels"]["__name__"]
        for series in (answer.json()["data"] if answer.is_success else [])
        if any(exemplar["labels"] == {"trace_id": trace_id} for exemplar in series["exemplars"])
    }


def published_trace(receiver, trace_id):
    """Return the request, the append, the delivery and the stages of one publish, once all have arrived."""
    request = next(span for span in receiver.named("POST /v1/quotes") if span.trace_id == trace_id)
    (append,) = receiver.children(request)
    (delivery,) = receiver.children(append)
    return request, append, delivery, sorted(receiver.children(delivery), key=lambda span: span.start_ns)


async def test_latencies_have_exemplars_with_the_trace(receiver, tmp_path):
    """A real Prometheus, if it is installed, stores the trace id beside the latency of the tick."""
    trace_id = "ab" * 16
    async with run_server(trace_ratio=1) as server, httpx2.AsyncClient(base_url=server.url) as client:
        headers = {"traceparent": f"00-{trace_id}-{'cd' * 8}-01"}
        assert (await client.post("/v1/quotes", json=[TICK], headers=headers)).status_code == 201
        answer = await client.get("/metrics", headers={"accept": "application/openmetrics-text"})
        samples = [each for family in text_string_to_metric_families(answer.text) for each in family.samples]
        traced = [each for each in samples if each.exemplar and each.exemplar.labels == {"trace_id": trace_id}]
        assert [(each.name, each.labels.get("route")) for each in traced] == [
            ("tickwire_latency_seconds_bucket", None),
            ("tickwire_http_request_seconds_bucket", "/v1/quotes"),
        ]
        for sample in traced:
            assert 0 < sample.exemplar.value <= float(sample.labels["le"])
        # The other format has no exemplars.
        assert trace_id not in (await client.get("/metrics")).text
        if PROMETHEUS is None:
            pytest.skip("Prometheus is not installed")
        async with run_prometheus(tmp_path, {"a": server.url.removeprefix("http://")}) as prometheus:
            names = {"tickwire_latency_seconds_bucket", "tickwire_http_request_seconds_bucket"}

            async def are_stored():
                return names <= await find_exemplars(prometheus, trace_id)

            await wait_until(are_stored)


@pytest.mark.parametrize("bypass_asgi", [True, False])
async def test_an_open_stream_keeps_no_span(receiver, bypass_asgi):
    async with run_server(trace_ratio=1, bypass_asgi=bypass_asgi) as server, contextlib.AsyncExitStack() as streams:
        for _ in range(5):
            stream = await streams.enter_async_context(open_stream(server.url))
            await stream.next_event()
        await wait_until(lambda: len(receiver.named("GET /v1/stream")) == 5)
        # The queue may still hold the newest spans.
        await wait_until(lambda: count_stream_spans() == 0)


@pytest.mark.parametrize("journal", ["memory", "sqlite"])
async def test_a_trace_follows_a_publish_to_the_flush(receiver, journal, tmp_path):
    journal = journal if journal == "memory" else f"sqlite:{tmp_path}/a.journal"
    client_trace, client_span = "ab" * 16, "cd" * 8
    async with run_server(trace_ratio=1, journal=journal) as server, httpx2.AsyncClient() as client:
        headers = {"traceparent": f"00-{client_trace}-{client_span}-01"}
        response = await client.post(f"{server.url}/v1/quotes", json=[TICK, TICK], headers=headers)
        await wait_until(lambda: len(receiver.named("flush")) > 0 and len(receiver.named("POST /v1/quotes")) > 0)
    request, append, delivery, stages = published_trace(receiver, client_trace)
    assert (request.parent_id, request.kind, request.status) == (client_span, SERVER_KIND, 0)
    assert request.attributes == {
        "http.request.method": "POST",
        "http.route": "/v1/quotes",
        "http.response.status_code": 201,
        "tickwire.request_id": response.headers["x-request-id"],
    }
    assert (append.name, append.kind) == ("journal append", PRODUCER_KIND)
    assert append.attributes == {"tickwire.first": 1, "tickwire.last": 2, "tickwire.repeated": False}
    assert (delivery.name, delivery.kind, delivery.links) == ("deliver", CONSUMER_KIND, [])
    assert [(stage.name, stage.kind) for stage in stages] == [(name, INTERNAL_KIND) for name in STAGES]
    assert delivery.start_ns == stages[0].start_ns
    assert delivery.end_ns == stages[-1].end_ns
    assert [stage.end_ns for stage in stages[:-1]] == [stage.start_ns for stage in stages[1:]]
    assert request.resource["service.name"] == "tickwire"
    assert {"service.version", "service.instance.id"} < request.resource.keys()


async def test_each_request_is_a_span_and_a_stream_ends_its_span_when_it_is_open(receiver, log_lines):
    async with run_server(trace_ratio=1) as server, httpx2.AsyncClient() as client:
        await client.post(f"{server.url}/v1/quotes", json=[TICK])
        for path in ("/v1/quotes/A", "/v1/quotes/MISSING", "/v1/nothing", "/healthz", "/metrics"):
            await client.get(f"{server.url}{path}")
        async with open_stream(server.url) as stream:
            await stream.next_event()
            # The stream is open, and its span has arrived.
            await wait_until(lambda: len(receiver.named("GET /v1/stream")) > 0)
        await wait_until(lambda: len(receiver.spans) >= 9)
    requests = [span for span in receiver.spans if span.kind == SERVER_KIND]
    assert sorted(span.name for span in requests) == [
        "GET /v1/quotes/{symbol}", "GET /v1/quotes/{symbol}", "GET /v1/stream", "GET other", "POST /v1/quotes",
    ]  # fmt: skip
    assert all(span.parent_id == "" for span in requests)
    by_request = {line["request_id"]: line.get("trace_id") for line in log_lines if "request" in line}
    for span in requests:
        assert by_request[span.attributes["tickwire.request_id"]] == span.trace_id
    # Probes belong to no trace.
    assert sorted(trace_id is None for trace_id in by_request.values()) == [False] * 5 + [True] * 2


@pytest.mark.parametrize("bypass_asgi", [True, False])
async def test_the_append_of_a_stream_request_belongs_to_the_request(receiver, log_lines, monkeypatch, bypass_asgi):
    """The request redeems a ticket. Another stream request that starts at the same time belongs to its own trace."""
    admit = StreamEndpoint.admit

    async def admit_and_log(*args):
        logging.getLogger("tickwire.test").info("before")
        outcome = await admit(*args)
        logging.getLogger("tickwire.test").info("after")
        return outcome

    monkeypatch.setattr(StreamEndpoint, "admit", admit_and_log)
    options = {"auth": "secret", "auth_secret": TEST_SECRET, "bypass_asgi": bypass_asgi}
    async with run_server(trace_ratio=1, **options) as server, httpx2.AsyncClient(base_url=server.url) as client:
        tickets = [
            (await client.post("/v1/tickets", headers=bearer_header(sign_token()))).json()["ticket"] for _ in range(2)
        ]
        async with (
            open_stream(server.url, {"ticket": tickets[0]}) as first,
            open_stream(server.url, {"ticket": tickets[1]}) as second,
        ):
            await asyncio.gather(first.next_event(), second.next_event())
            await wait_until(
                lambda: len(receiver.named("GET /v1/stream")) == len(receiver.named("journal append")) == 2
            )
    for request in receiver.named("GET /v1/stream"):
        (append,) = receiver.children(request)
        assert append.name == "journal append"
        ids = {"request_id": request.attributes["tickwire.request_id"], "trace_id": request.trace_id}
        lines = [line for line in log_lines if line.get("request_id") == ids["request_id"] and "request" not in line]
        assert [(line["message"], line["trace_id"]) for line in lines if line["logger"] == "tickwire.test"] == [
            ("before", ids["trace_id"]), ("after", ids["trace_id"]),
        ]  # fmt: skip


async def test_an_unsampled_request_leaves_no_span(receiver, log_lines):
    """A client decides for its trace: its flag turns off the sampling, and the append begins no trace of its own."""
    async with run_server(trace_ratio=1) as server, httpx2.AsyncClient() as client:
        headers = {"traceparent": f"00-{'1' * 32}-{'2' * 16}-00"}
        await client.post(f"{server.url}/v1/quotes", json=[TICK], headers=headers)
        for headers in ({"traceparent": "00-nonsense"}, {"traceparent": f"00-{'0' * 32}-{'2' * 16}-01"}):
            await client.post(f"{server.url}/v1/quotes", json=[TICK], headers=headers)
        await wait_until(lambda: len(receiver.named("flush")) == 2 and len(receiver.named("POST /v1/quotes")) == 2)
    assert len(receiver.spans) == 2 * 6
    assert not {"1" * 32, "0" * 32} & {span.trace_id for span in receiver.spans}


async def test_a_failed_append_is_an_error_in_the_trace(receiver):
    async with run_server(trace_ratio=1) as server, httpx2.AsyncClient() as client:
        await server.runtime.journal.close()
        assert (await client.post(f"{server.url}/v1/quotes", json=[TICK])).status_code == 503
        await wait_until(lambda: len(receiver.named("POST /v1/quotes")) > 0)
    (append,) = receiver.named("journal append")
    assert append.status == ERROR_STATUS
    assert receiver.named("POST /v1/quotes")[0].status == ERROR_STATUS


async def test_the_sampler_of_the_environment_replaces_the_ratio(receiver, monkeypatch):
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    async with run_server(trace_ratio=1) as server, httpx2.AsyncClient() as client:
        await client.post(f"{server.url}/v1/quotes", json=[TICK])
        counts = server.runtime.tracing.span_counts()
    assert counts == {"sent": 0, "failed": 0, "dropped": 0}
    assert receiver.spans == []


async def test_a_delivery_links_the_other_traces_of_its_batch(receiver):
    """A delivery with batches of three traces is a child of the first trace, and has links to the others."""
    tracing = provider.open_tracing(1.0)
    parents = [(f"{number:032x}", f"{number:016x}") for number in (1, 2, 3)]
    texts = [f"00-{trace_id}-{span_id}-01" for trace_id, span_id in parents]
    records = [
        JournalRecord(1, 2, RecordKind.TICKS, 0, b"", "", (texts[0], texts[1])),
        JournalRecord(3, 1, RecordKind.TICKS, 0, b""),
        JournalRecord(4, 1, RecordKind.TICKS, 0, b"", "", (texts[2],)),
    ]
    tracing.record_delivery(records, FlushTimes(1, 2, 3))
    tracing.record_delivery(records[1:2], FlushTimes(1, 2, 3))
    tracing.close()
    (delivery,) = receiver.named("deliver")
    assert (delivery.trace_id, delivery.parent_id) == parents[0]
    assert delivery.links == parents[1:]
    assert delivery.attributes == {"tickwire.first": 1, "tickwire.last": 4}
    assert len(receiver.spans) == 1 + len(STAGES)


@pytest.mark.parametrize("fault", ["refused", "status"])
async def test_a_collector_that_does_not_work_disturbs_nothing(receiver, fault, monkeypatch, log_lines):
    """The server answers and streams. The metrics count the lost spans, and the log reports the outage once."""
    receiver.status = 400
    if fault == "refused":
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{find_free_port()}")
        # The exporter tries again after a second. Its first message contains the reason.
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1.5")
    async with run_server(trace_ratio=1) as server, httpx2.AsyncClient() as client:
        async with open_stream(server.url) as stream:
            for _ in range(2):
                before = server.runtime.tracing.span_counts()["failed"]
                assert (await client.post(f"{server.url}/v1/quotes", json=[TICK])).status_code == 201
                await wait_until(lambda before=before: server.runtime.tracing.span_counts()["failed"] > before)
            await stream.next_events(2)
        metrics = (await client.get(f"{server.url}/metrics")).text
        assert 'tickwire_trace_spans_total{outcome="sent"} 0' in metrics
        assert 'tickwire_trace_spans_total{outcome="dropped"} 0' in metrics
    warnings = [line for line in log_lines if "cannot send traces" in line["message"]]
    assert len(warnings) == 1
    assert ("refused" if fault == "refused" else "400") in warnings[0]["message"]
    assert not [line for line in log_lines if line["logger"].startswith("opentelemetry")]
    assert receiver.spans == []


def test_a_full_queue_drops_spans_and_counts_them(receiver, monkeypatch):
    """While the collector does not answer, the queue has a limit, and the end of a span does not wait."""
    monkeypatch.setattr(span_queue, "_MAX_QUEUED_SPANS", 600)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "3600000")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "600")
    tracing = provider.open_tracing(1.0)
    with receiver.paused():
        for _ in range(610):
            tracing.start_request("GET", {}).end()
        assert tracing.span_counts() == {"sent": 0, "failed": 0, "dropped": 10}
    tracing.close()
    assert tracing.span_counts() == {"sent": 600, "failed": 0, "dropped": 10}
    assert len(receiver.spans) == 600


def test_a_collector_that_does_not_answer_does_not_delay_the_stop(receiver, monkeypatch):
    monkeypatch.setattr(span_queue, "_CLOSE_TIMEOUT_S", 0.05)
    tracing = provider.open_tracing(1.0)
    with receiver.paused():
        tracing.start_request("GET", {}).end()
        tracing.close()
        assert receiver.spans == []


def test_wrong_settings_are_named(monkeypatch):
    assert provider.open_tracing(0.0) is None
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "1000000")
    with pytest.raises(SettingsError, match=r"an environment variable OTEL_\* is not valid"):
        provider.open_tracing(0.5)
    monkeypatch.setitem(__import__("sys").modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(SettingsError, match="needs OpenTelemetry") as caught:
        provider.open_tracing(0.5)
    assert caught.value.hint == "pip install 'tickwire[otel]'"
