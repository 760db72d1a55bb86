"""The load test: its clients against a real server, its table of targets, and its report."""

from __future__ import annotations

import time
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.load_report import write_report
from benchmarks.load_test import LoadOptions, LoadResult, ServerSample, compare_with_targets, memory_growth
from benchmarks.load_worker import LoadWorker, WorkerPlan, WorkerResult
from tickwire.testing.server import run_server


def plan_for(url: str, *, publishes: bool) -> WorkerPlan:
    address = urlsplit(url)
    return WorkerPlan(
        host=str(address.hostname),
        port=int(address.port or 0),
        token="",
        begins_at=time.time() + 0.3,
        seconds=1,
        rate=200,
        connections=4,
        readers=3,
        publishes=publishes,
        seed=1,
    )


def sample_result(**changes: object) -> LoadResult:
    values = {
        "cpu_s": 1.0, "latencies_us": [1_000] * 1_000, "latency_seconds": [*range(10)] * 100, "failures": {},
        "scenarios": {}, "first_event_us": [2_000], "events": 10, "id_errors": 0, "gaps": 0, "lost_readers": 0,
    } | changes  # fmt: skip
    samples = [ServerSample(second, second / 2, 1e8, 5) for second in range(11)]
    return LoadResult(LoadOptions("http://h", 100, 5, 10), [WorkerResult(**values)], samples)


def unmet(result: LoadResult) -> list[str]:
    return [target.item for target in compare_with_targets(result) if target.is_met is False]


async def test_every_answer_is_the_expected_one() -> None:
    async with run_server() as server:
        result = await LoadWorker(plan_for(server.url, publishes=True)).run()
    assert result.failures == {}
    assert {"read", "retry"} <= result.scenarios.keys()
    assert len(result.latencies_us) == sum(result.scenarios.values())
    assert (result.id_errors, result.gaps, result.lost_readers) == (0, 0, 0)
    # Each reader receives a snapshot with its symbols.
    assert len(result.first_event_us) == 3


async def test_a_read_only_test_publishes_nothing() -> None:
    async with run_server() as server:
        before = server.runtime.journal.head
        result = await LoadWorker(plan_for(server.url, publishes=False)).run()
        assert server.runtime.journal.head == before
    assert result.failures == {}


def test_a_result_is_compared_with_the_targets(tmp_path: Path) -> None:
    result = sample_result()
    assert unmet(result) == []
    assert unmet(sample_result(failures={"status 500": 50})) == ["expected answers"]
    assert unmet(sample_result(latencies_us=[200_000] * 1_000)) == ["latency, 95 %"]
    assert unmet(sample_result(id_errors=1, gaps=1)) == ["ids that decrease", "gaps and lost streams"]
    slow = sample_result(latencies_us=[1_000] * 500, latency_seconds=[0] * 500)
    assert unmet(slow) == ["requests per second"]
    # If the load processes use all their CPU time, a low rate is not a failure of the server.
    assert unmet(sample_result(latencies_us=[1_000] * 500, latency_seconds=[0] * 500, cpu_s=9.5)) == []
    leaking = [sample._replace(memory_bytes=1e8 + 1e7 * sample.at_s) for sample in result.samples]
    assert memory_growth(leaking) > 0.3
    write_report(tmp_path / "report.html", result, compare_with_targets(result))
    text = (tmp_path / "report.html").read_text()
    assert text.count("<polyline") == 6
    assert "Latency of requests" in text
