"""Traces that pass from one process to another, over NATS and over the socket of `--workers`."""

from __future__ import annotations

import asyncio
import contextlib

import httpx2
import pytest

from tickwire.testing.otlp_receiver import run_otlp_receiver
from tickwire.testing.server import ServerProcess
from tickwire.testing.waiting import wait_until

TICK = {"symbol": "A", "last": 1.5}


@pytest.fixture(autouse=True)
def receiver(monkeypatch):
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
    with run_otlp_receiver() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.endpoint)
        yield receiver


def instance(span):
    return span.resource["service.instance.id"]


async def publish(url, count=1):
    """Publish batches at the same time, and return the trace ids of the requests."""
    trace_ids = [f"{number:032x}" for number in range(1, count + 1)]
    async with httpx2.AsyncClient() as client:

        async def post(trace_id):
            headers = {"traceparent": f"00-{trace_id}-{'a' * 16}-01"}
            assert (await client.post(f"{url}/v1/quotes", json=[TICK], headers=headers)).status_code == 201

        await asyncio.gather(*map(post, trace_ids))
    return trace_ids


def check_trace(receiver, trace_id, processes):
    """Check the spans of a trace: one request, one append, and one delivery with three stages in each process."""
    (request,) = [span for span in receiver.named("POST /v1/quotes") if span.trace_id == trace_id]
    assert request.parent_id == "a" * 16
    (append,) = receiver.children(request)
    assert append.name == "journal append"
    assert instance(append) == instance(request)
    deliveries = receiver.children(append)
    assert [span.name for span in deliveries] == ["deliver"] * processes
    assert len({instance(span) for span in deliveries}) == processes
    assert instance(request) in {instance(span) for span in deliveries}
    for delivery in deliveries:
        assert delivery.attributes["tickwire.first"] <= append.attributes["tickwire.first"]
        stages = receiver.children(delivery)
        assert sorted(span.name for span in stages) == ["apply", "dispatch", "flush"]
        assert {instance(span) for span in stages} == {instance(delivery)}


async def test_a_trace_passes_through_nats_to_the_flush_of_two_processes(receiver, nats, name, tmp_path):
    options = ("--journal", f"{nats.url}/{name}", "--feed", "http", "--trace-ratio", "1")
    async with contextlib.AsyncExitStack() as stack:
        servers = []
        for role in ("feed", "edge"):
            (tmp_path / role).mkdir()
            server = ServerProcess(*options, "--role", role, cwd=tmp_path / role)
            servers.append(await stack.enter_async_context(server))
        (trace_id,) = await publish(servers[1].url)
        await wait_until(lambda: len(receiver.named("flush")) == 2 and len(receiver.named("POST /v1/quotes")) == 1)
        check_trace(receiver, trace_id, processes=2)
        # Under load, several requests share a message. The delivery then belongs to the first trace of the message, and
        # has links to the other traces.
        receiver.spans.clear()
        trace_ids = await publish(servers[1].url, 8)

        def covered(process):
            deliveries = [span for span in receiver.named("deliver") if instance(span) == process]
            return {span.trace_id for span in deliveries} | {link for span in deliveries for link, _ in span.links}

        def is_complete():
            processes = {instance(span) for span in receiver.named("deliver")}
            return len(processes) == 2 and all(covered(process) == {*trace_ids} for process in processes)

        await wait_until(is_complete)


@pytest.mark.long
async def test_a_trace_passes_over_the_socket_of_workers(receiver, tmp_path):
    options = ("--workers", "2", "--feed", "http", "--trace-ratio", "1")
    async with ServerProcess(*options, cwd=tmp_path) as server:
        (trace_id,) = await publish(server.url)
        # The owner of the journal and both edges deliver the batch.
        await wait_until(lambda: len(receiver.named("flush")) == 3 and len(receiver.named("POST /v1/quotes")) == 1)
        check_trace(receiver, trace_id, processes=3)
