"""Rehearse a canary on this machine: `python -m deploy.rehearse_canary`.

Two edges share a journal on NATS behind HAProxy. Readers come and go, and the share of the canary grows as in the
Rollout of deploy/kubernetes/overlays/canary. A real Prometheus evaluates the queries of the AnalysisTemplate, and the
script decides as the rollout controller does. It rehearses two canaries: the same version again, which must be
promoted, and a version that fails every hundredth stream, which must be rolled back. In both cases, no reader may lose
an event.

The programs haproxy, prometheus and nats-server must be installed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import math
import socket
import sys
import tempfile
import urllib.parse
import urllib.request
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from deploy.rehearsal.faulty_edge import FaultyProcess
from deploy.rehearsal.load import Load
from deploy.rehearsal.programs import missing_programs, running

from tickwire.journal.nats.find_server import find_nats_server
from tickwire.testing.nats_server import NatsServer
from tickwire.testing.ports import find_free_port
from tickwire.testing.server import ServerProcess
from tickwire.testing.waiting import wait_until

PROGRAMS = ("haproxy", "prometheus")
_MANIFESTS = Path(__file__).parent / "kubernetes" / "overlays" / "canary"
# These times replace the longer window of a query, and the longer pauses of the Rollout.
_WINDOW_S = 20
_STEP_S = 12
_MEASURE_EVERY_S = 2
_PUBLISH_EVERY_S = 0.05
_HAPROXY = """
global
    stats socket {socket} level admin
defaults
    mode http
    timeout connect 5s
    timeout client 1h
    timeout server 1h
    retries 5
    retry-on conn-failure empty-response
    option redispatch 1
frontend readers
    bind 127.0.0.1:{port}
    default_backend edges
backend edges
    server stable 127.0.0.1:{stable} weight 100
    server canary 127.0.0.1:{canary} weight 0
"""


class Measurement(NamedTuple):
    """The result of one query of the analysis, and whether it satisfies the condition."""

    name: str
    value: float
    is_good: bool


class Report(NamedTuple):
    """The result of one canary. `weights` contains the shares of new connections, in percent, that the canary got."""

    is_promoted: bool
    weights: Sequence[int]
    measurements: Sequence[Measurement]
    events: int
    reconnects: int


class Metric:
    """One metric of the AnalysisTemplate. `failures` counts the measurements that did not satisfy its condition."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.name: str = document["name"]
        self.failures = 0
        self._limit: int = document["failureLimit"]
        self._query: str = document["provider"]["prometheus"]["query"]
        # The conditions of the template are comparisons of the first result with a number.
        _, self._operator, limit = document["successCondition"].split()
        self._bound = float(limit)

    @property
    def has_failed(self) -> bool:
        return self.failures > self._limit

    def measure(self, prometheus_url: str, arguments: dict[str, str]) -> Measurement:
        """Evaluate the query, and compare its result with the condition."""
        query = self._query
        for name, text in arguments.items():
            query = query.replace(f"{{{{args.{name}}}}}", text)
        url = f"{prometheus_url}/api/v1/query?{urllib.parse.urlencode({'query': query})}"
        with urllib.request.urlopen(url, timeout=10) as response:  # noqa: S310  # the URL is this script's own
            (result,) = json.load(response)["data"]["result"]
        value = float(result["value"][1])
        is_good = value <= self._bound if self._operator == "<=" else value >= self._bound
        # The quantile of an empty histogram is NaN.
        is_good = is_good or math.isnan(value)
        self.failures += not is_good
        return Measurement(self.name, value, is_good)


class Haproxy:
    """HAProxy in front of the stable and the canary edge. `set_weights` sets the canary's share of new connections."""

    def __init__(self, folder: Path, stable: str, canary: str) -> None:
        self.url = f"http://127.0.0.1:{find_free_port()}"
        self._socket = folder / "haproxy.sock"
        self._config = folder / "haproxy.cfg"
        ports = {name: urllib.parse.urlsplit(url).port for name, url in (("stable", stable), ("canary", canary))}
        self._config.write_text(_HAPROXY.format(socket=self._socket, port=self.url.rpartition(":")[2], **ports))

    def command(self) -> list[str]:
        """Return the command that starts the program in the foreground."""
        return ["haproxy", "-db", "-q", "-f", str(self._config)]

    def set_weights(self, canary: int) -> None:
        """Send `canary` percent of the new connections to the canary."""
        with socket.socket(socket.AF_UNIX) as admin:
            admin.connect(str(self._socket))
            admin.sendall(f"set weight edges/canary {canary}; set weight edges/stable {100 - canary}\n".encode())
            admin.recv(4096)


def main() -> int:
    """Rehearse both canaries, and return 0 if the analysis decided correctly and no reader lost an event."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--readers", type=int, default=300, help="number of readers  [default: 300]")
    arguments = parser.parse_args()
    if missing := missing_programs(PROGRAMS) + ([] if find_nats_server() else ["nats-server"]):
        print(f"not installed: {' '.join(missing)}", file=sys.stderr)
        return 2
    good = asyncio.run(rehearse(arguments.readers, is_faulty=False))
    bad = asyncio.run(rehearse(arguments.readers, is_faulty=True))
    print(_table({"same version": good, "1 % errors": bad}))
    return 0 if good.is_promoted and not bad.is_promoted else 1


async def rehearse(readers: int, *, is_faulty: bool) -> Report:
    """Run one canary from its first reader to its promotion or its rollback."""
    with tempfile.TemporaryDirectory() as name, NatsServer(Path(name)) as nats:
        folder = Path(name)
        common = ("--journal", f"{nats.url}/canary", "--feed", "http", "--heartbeat", "1", "--log-level", "warning")
        async with contextlib.AsyncExitStack() as stack:
            version = FaultyProcess if is_faulty else ServerProcess
            stable = ServerProcess(*common, "--role", "edge", cwd=folder, log=folder / "stable.log")
            canary = version(*common, "--role", "edge", cwd=folder, log=folder / "canary.log")
            for process in (ServerProcess(*common, "--role", "feed", cwd=folder), stable, canary):
                await stack.enter_async_context(process)
            proxy = Haproxy(folder, stable.url, canary.url)
            await stack.enter_async_context(running(folder, *proxy.command()))
            prometheus_url = await stack.enter_async_context(_prometheus(folder, stable.url, canary.url))
            await wait_until((folder / "haproxy.sock").exists)
            return await _run_canary(proxy, prometheus_url, stable, canary, readers)


async def _run_canary(
    proxy: Haproxy, prometheus_url: str, stable: ServerProcess, canary: ServerProcess, count: int
) -> Report:
    load = Load(proxy.url, count, publish_every_s=_PUBLISH_EVERY_S)
    async with load.running():
        is_promoted, measurements, weights = await _analyse(proxy, prometheus_url)
        proxy.set_weights(100 if is_promoted else 0)
        # Stop the stable edge after a promotion, or the canary after a rollback. The readers go to the other edge.
        assert await (stable if is_promoted else canary).stop() == 0
        events = await load.check()
    return Report(is_promoted, weights, measurements, events, load.reconnects)


async def _analyse(proxy: Haproxy, prometheus_url: str) -> tuple[bool, list[Measurement], list[int]]:
    """Follow the steps of the Rollout until the last step, or until a metric has failed too often.

    Return whether to promote the canary, the measurements, and the canary's shares of new connections.
    """
    metrics = [Metric(each) for each in _load("analysis.yaml")["spec"]["metrics"]]
    arguments = {"stable-hash": "stable", "canary-hash": "canary", "window": f"{_WINDOW_S}s"}
    steps = [
        step["setWeight"]
        for step in _load("rollout.yaml")["spec"]["strategy"]["canary"]["steps"]
        if "setWeight" in step
    ]
    measurements, weights = list[Measurement](), list[int]()
    for weight in (*steps, 100):
        proxy.set_weights(weight)
        weights.append(weight)
        print(f"{weight} % of the new streams go to the canary", flush=True)
        for _ in range(_STEP_S // _MEASURE_EVERY_S):
            await asyncio.sleep(_MEASURE_EVERY_S)
            measurements += [await asyncio.to_thread(each.measure, prometheus_url, arguments) for each in metrics]
            if failed := [each.name for each in metrics if each.has_failed]:
                print(f"failed: {', '.join(failed)}", flush=True)
                return False, measurements, weights
    return True, measurements, weights


def _load(name: str) -> Any:
    return yaml.safe_load((_MANIFESTS / name).read_text(encoding="utf-8"))


@contextlib.asynccontextmanager
async def _prometheus(folder: Path, stable: str, canary: str) -> AsyncIterator[str]:
    """Run Prometheus, which scrapes both edges every second. Yield its URL."""
    targets = [
        {"targets": [url.removeprefix("http://")], "labels": {"rollouts_pod_template_hash": version}}
        for version, url in (("stable", stable), ("canary", canary))
    ]
    config = folder / "prometheus.yaml"
    scrape = {"job_name": "edge", "scrape_interval": "1s", "static_configs": targets}
    config.write_text(yaml.safe_dump({"scrape_configs": [scrape]}))
    port = find_free_port()
    options = (
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
    )
    async with running(folder, "prometheus", *options):
        yield f"http://127.0.0.1:{port}"


def _values(measurements: Sequence[Measurement]) -> dict[str, list[float]]:
    """Return the values of each metric."""
    values: dict[str, list[float]] = {}
    for each in measurements:
        values.setdefault(each.name, []).append(each.value)
    return values


def _table(reports: dict[str, Report]) -> str:
    lines = ["| canary | decision | shares of the canary | figures that the analysis saw | events | reconnects |"]
    lines.append("|---|---|---|---|---|---|")
    for canary, report in reports.items():
        figures = ", ".join(
            f"{name} {min(values):.4f} to {max(values):.4f}" for name, values in _values(report.measurements).items()
        )
        decision = "promoted" if report.is_promoted else "rolled back"
        shares = ", ".join(f"{weight} %" for weight in report.weights)
        lines.append(f"| {canary} | {decision} | {shares} | {figures} | {report.events} | {report.reconnects} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
