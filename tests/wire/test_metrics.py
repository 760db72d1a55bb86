"""The metrics of a server: their format, labels and values."""

from __future__ import annotations

import contextlib
import io
import shutil
import subprocess
from pathlib import Path

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.parser import text_fd_to_metric_families

from tickwire.core.histogram import DURATION_BOUNDS_NS, Histogram, sum_counts
from tickwire.ops.exposition import MetricsFormat, choose_format
from tickwire.ops.metric_table import METRICS
from tickwire.testing.server import RunningServer, run_server
from tickwire.testing.tokens import TEST_SECRET
from tickwire.testing.waiting import wait_until
from tickwire.testing.wire import open_stream

PROMTOOL = shutil.which("promtool")


async def read_samples(server: RunningServer) -> dict[str, float]:
    """Return the value of each sample by its name and labels."""
    async with httpx2.AsyncClient(base_url=server.url) as client:
        lines = (await client.get("/metrics")).text.splitlines()
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))}


def check_with_promtool(promtool: str, text: str) -> tuple[int, str]:
    """Return the exit code and the complaints of `promtool check metrics`."""
    result = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    return result.returncode, result.stdout + result.stderr


async def publish(client: httpx2.AsyncClient, *prices: float) -> None:
    ticks = [{"symbol": "A", "last": price} for price in prices]
    assert (await client.post("/v1/quotes", json=ticks)).status_code == 201


@contextlib.asynccontextmanager
async def run_client(**settings: object):
    async with run_server(**settings) as server, httpx2.AsyncClient(base_url=server.url) as client:
        yield server, client


async def test_the_text_has_every_metric_of_the_table(tmp_path: Path) -> None:
    async with run_client(journal=f"sqlite:{tmp_path / 'j.sqlite'}") as (server, client):
        async with open_stream(server.url) as stream:
            await publish(client, 1, 2, 3)
            await stream.next_events(3)
        text = (await client.get("/metrics")).text
    types = [line.split()[2:4] for line in text.splitlines() if line.startswith("# TYPE ")]
    assert types == [[name, metric.kind] for name, metric in METRICS.items()]
    if PROMTOOL is None:
        pytest.skip("promtool of Prometheus is not installed")
    assert check_with_promtool(PROMTOOL, text) == (0, "")


OPEN_METRICS = {"accept": "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"}


async def test_open_metrics_has_the_same_samples() -> None:
    async with run_client() as (server, client):
        async with open_stream(server.url) as stream:
            await publish(client, 1, 2, 3)
            await stream.next_events(3)
        plain = await client.get("/metrics")
        answer = await client.get("/metrics", headers=OPEN_METRICS)
    assert plain.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert answer.headers["content-type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    families = [*text_string_to_metric_families(answer.text)]
    assert {family.name: family.type for family in families} == {
        name.removesuffix("_total") if metric.kind == "counter" else name: metric.kind
        for name, metric in METRICS.items()
    }
    # The first answer is also a request.
    names = {f"{sample.name}{sorted(sample.labels.items())}" for family in families for sample in family.samples}
    names = {name for name in names if "('route', '/metrics')" not in name}
    plain_families = text_fd_to_metric_families(io.StringIO(plain.text))
    assert names == {
        f"{sample.name}{sorted(sample.labels.items())}" for family in plain_families for sample in family.samples
    }


@pytest.mark.parametrize(
    ("accept", "is_open"),
    [
        ("", False),
        ("*/*", False),
        ("text/plain", False),
        ("application/openmetrics-text", True),
        ("application/openmetrics-text; version=0.0.1", True),
        ("application/openmetrics-text; version=2.0.0", False),
        ("application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3", True),
        ("application/openmetrics-text;q=0.2,text/plain;q=0.3", False),
        ("application/openmetrics-text;q=0", False),
        ("application/openmetrics-text;q=x, ;;=,", False),
    ],
)
def test_the_client_chooses_the_format(accept: str, is_open: bool) -> None:
    assert (choose_format(accept) is MetricsFormat.OPEN_METRICS) is is_open


async def test_stages_and_commits_are_measured_once_for_each_batch(tmp_path: Path) -> None:
    async with run_client(journal=f"sqlite:{tmp_path / 'j.sqlite'}") as (server, client):
        before = await read_samples(server)
        await publish(client, *range(1, 101))
        after = await read_samples(server)
        added = {name: after[name] - before.get(name, 0.0) for name in after}
        assert added["tickwire_ticks_total"] == 100
        assert added['tickwire_stage_seconds_count{stage="feed"}'] == 1
        for stage in ("journal", "apply", "dispatch", "flush"):
            # The server also appends status events and closed candles.
            assert 1 <= added[f'tickwire_stage_seconds_count{{stage="{stage}"}}'] < 50
        assert 1 <= added["tickwire_journal_commit_seconds_count"] < 50
        assert added["tickwire_journal_commit_events_sum"] >= 100
        assert after["tickwire_journal_disk_free_bytes"] <= after["tickwire_journal_disk_bytes"]


async def test_clients_cannot_create_series() -> None:
    async with run_client() as (server, client):
        await publish(client, 1)
        for path in ("/v1/quotes/A", "/v1/quotes/B", "/nothing", "/v1/nothing", "/app/x", "/app/y"):
            await client.get(path)
        await client.head("/v1/quotes/A")
        await client.request("BREW", "/v1/quotes")
        before = await read_samples(server)
        for number in range(20):
            for path in (f"/v1/quotes/{number}", f"/{number}", f"/v1/{number}", f"/app/{number}"):
                await client.get(path)
            await client.request(f"BREW{number}", "/v1/quotes")
        after = await read_samples(server)
        # The second answer also counts the first request for metrics.
        new = {name for name in after.keys() - before.keys() if 'route="/metrics"' not in name}
        assert new == set()
        requests = "tickwire_http_requests_total"
        assert after[f'{requests}{{method="GET",route="/v1/quotes/{{symbol}}",status="200"}}'] == 1
        assert after[f'{requests}{{method="HEAD",route="/v1/quotes/{{symbol}}",status="200"}}'] == 1
        assert after[f'{requests}{{method="GET",route="other",status="404"}}'] == 42


async def test_stream_requests_are_counted_by_outcome() -> None:
    async with run_client(max_readers=1) as (server, client):
        async with open_stream(server.url) as stream:
            await stream.next_events(1, name="welcome")
            assert (await client.get("/v1/stream")).status_code == 503
        assert (await client.get("/v1/stream?symbol=A")).status_code == 400
        samples = await read_samples(server)
        for outcome, count in (("opened", 1), ("refused", 1), ("invalid", 1), ("denied", 0)):
            assert samples[f'tickwire_connects_total{{outcome="{outcome}"}}'] == count
        assert samples["tickwire_catchup_seconds_count"] == 1
    async with run_client(auth="secret", auth_secret=TEST_SECRET) as (server, client):
        assert (await client.get("/v1/stream")).status_code == 401
        assert server.app.direct_streams is not None
        assert server.app.direct_streams._guard.request_metrics.connects["denied"] == 1


async def test_resumes_are_counted_by_outcome() -> None:
    async with run_client() as (server, client):
        await publish(client, 1, 2)
        journal = server.runtime.journal
        for last_event_id in (f"{journal.epoch}-1", "xxxxx-1"):
            async with open_stream(server.url, headers={"last-event-id": last_event_id}) as stream:
                await stream.next_events(1, name="welcome")
        samples = await read_samples(server)
        for outcome in ("complete", "gap"):
            assert samples[f'tickwire_resumes_total{{outcome="{outcome}"}}'] == 1


async def test_the_state_of_the_feed_is_one_sample() -> None:
    async with run_client(feed="simulator") as (server, _):
        await wait_until(lambda: server.runtime.status.state == "running")
        samples = await read_samples(server)
        states = [name for name in samples if name.startswith("tickwire_feed_state")]
        assert states == ['tickwire_feed_state{state="running"}']
        # Simulated ticks have times of their own.
        assert samples['tickwire_stage_seconds_count{stage="feed"}'] == 0


@given(st.lists(st.integers(-5, 2 * DURATION_BOUNDS_NS[-1]), min_size=1), st.lists(st.integers(0, 10**9)))
def test_a_histogram_counts_each_value_once(values: list[int], others: list[int]) -> None:
    first, second = Histogram(), Histogram()
    for value in values:
        first.observe(value)
    for value in others:
        second.observe(value)
    total = sum_counts([first.counts(), second.counts()])
    everything = values + others
    expected = [sum(value <= bound for value in everything) for bound in DURATION_BOUNDS_NS]
    assert total.cumulative_counts() == [*expected, len(everything)]
    assert total.total == sum(max(0, value) for value in everything)
