"""Rehearse a canary with the real rollout controller: `make rehearse-rollout`.

An API server of Kubernetes and the controllers of Kubernetes and Argo Rollouts apply the overlay
deploy/kubernetes/overlays/canary. The pods are Tickwire processes on this machine, Envoy forwards readers with the
weights of the VirtualService, and Prometheus collects the metrics that the AnalysisTemplate queries. The script rolls
two versions out: the same version again, which must be promoted, and a version that fails every hundredth stream,
which must be rolled back. In both cases, no reader may lose an event.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import yaml
from deploy.rehearsal.control_plane import ApiServer, running_api_server, running_controllers, wait_for
from deploy.rehearsal.faulty_edge import FaultyProcess
from deploy.rehearsal.gateway import SUBSET_HEADER, Gateway
from deploy.rehearsal.load import Load
from deploy.rehearsal.manifests import custom_definitions, render
from deploy.rehearsal.node import Node
from deploy.rehearsal.programs import missing_programs, running

from tickwire.journal.nats.find_server import find_nats_server
from tickwire.testing.nats_server import NatsServer
from tickwire.testing.ports import find_free_port
from tickwire.testing.server import ServerProcess
from tickwire.testing.waiting import wait_until

PROGRAMS = (
    *("envoy", "etcd", "go", "kube-apiserver", "kube-controller-manager", "kubectl", "prometheus"),
    "rollouts-controller",
)
_NAMESPACE = "tickwire"
_ROLLOUT = f"/apis/argoproj.io/v1alpha1/namespaces/{_NAMESPACE}/rollouts/edge"
_DEPLOYMENT = f"/apis/apps/v1/namespaces/{_NAMESPACE}/deployments/edge"
_ANALYSES = f"/apis/argoproj.io/v1alpha1/namespaces/{_NAMESPACE}/analysisruns"
_PODS = f"/api/v1/namespaces/{_NAMESPACE}/pods"
_IMAGE = "registry.example.org/tickwire"
_VERSIONS = {
    f"{_IMAGE}:0.1.0": ServerProcess,
    f"{_IMAGE}:same-version": ServerProcess,
    f"{_IMAGE}:one-percent-errors": FaultyProcess,
}
_REPLICAS = 2
# These times replace the longer times of the manifests.
_PAUSE, _WINDOW, _MEASURE_EVERY, _SCALE_DOWN_DELAY_S = "15s", "20s", "3s", 5
_PUBLISH_EVERY_S = 0.1
_START_TIMEOUT_S = 180
_ROLLOUT_TIMEOUT_S = 400
_MAX_MEASUREMENTS = 1000
_POLL_INTERVAL_S = 0.5
# Prometheus reads only files with such a name.
_TARGETS = "edges.json"


class Report(NamedTuple):
    """The result of a rollout.

    `weights` contains the weights of the canary in the VirtualService, in percent. `measurements` contains the values
    that the analysis saw, by metric. `reason` is the controller's own sentence.
    """

    is_promoted: bool
    weights: Sequence[int]
    measurements: Mapping[str, Sequence[float]]
    reason: str
    events: int
    reconnects: int


def main() -> int:
    """Rehearse both rollouts, and return 0 if the controller decided correctly and no reader lost an event."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--readers", type=int, default=300, help="number of readers  [default: 300]")
    arguments = parser.parse_args()
    if missing := missing_programs(PROGRAMS) + ([] if find_nats_server() else ["nats-server"]):
        print(f"skipped, because these programs are not installed: {' '.join(missing)}", file=sys.stderr)
        print(
            "run `sh deploy/rehearsal/build.sh`, and install etcd-server, prometheus and nats-server", file=sys.stderr
        )
        return 2
    good, bad = asyncio.run(rehearse(arguments.readers))
    print(_table({"the same version": good, "every hundredth stream fails": bad}))
    return 0 if good.is_promoted and not bad.is_promoted else 1


async def rehearse(readers: int) -> tuple[Report, Report]:
    """Roll out the good version, and then the bad one."""
    with tempfile.TemporaryDirectory() as name, NatsServer(Path(name)) as nats:
        folder = Path(name)
        async with contextlib.AsyncExitStack() as stack:
            server = await stack.enter_async_context(running_api_server(folder))
            prometheus_url = await stack.enter_async_context(_prometheus(folder))
            await _apply_manifests(server, f"{nats.url}/rollout", prometheus_url)
            await stack.enter_async_context(running_controllers(folder, server))
            gateway = Gateway(server, _NAMESPACE, "edge", folder)
            await stack.enter_async_context(running(folder, *await gateway.command()))
            node = Node(server, _NAMESPACE, folder, _VERSIONS)
            async with _background(gateway.run(), node.run(), _list_edges(server, folder)):
                await _wait_until_settled(server, lambda status: status.get("phase") == "Healthy", _START_TIMEOUT_S)
                load = Load(gateway.url, readers, publish_every_s=_PUBLISH_EVERY_S)
                async with load.running():
                    good = await _roll_out(server, gateway, load, f"{_IMAGE}:same-version")
                    bad = await _roll_out(server, gateway, load, f"{_IMAGE}:one-percent-errors")
                return good, bad


async def _roll_out(server: ApiServer, gateway: Gateway, load: Load, image: str) -> Report:
    """Change the image, and wait until the controller has promoted the version or rolled it back."""
    print(f"rolling out {image}", flush=True)
    old_hash = (await server.get(_ROLLOUT))["status"]["stableRS"]
    events, reconnects = len(load.published), load.reconnects
    del gateway.weights[:-1]
    pods = (await server.get(_DEPLOYMENT))["spec"]["template"]["spec"]
    pods["containers"][0]["image"] = image
    await server.patch(_DEPLOYMENT, {"spec": {"template": {"spec": {"containers": pods["containers"]}}}})

    await _check_cookie(gateway.url)

    def has_ended(status: Any) -> bool:
        is_promoted = status.get("phase") == "Healthy" and status["stableRS"] != old_hash
        return is_promoted or bool(status.get("abort"))

    status = await _wait_until_settled(server, has_ended, _ROLLOUT_TIMEOUT_S)
    checked = await load.check()
    analyses = [
        each
        for each in (await server.get(_ANALYSES))["items"]
        if each["metadata"]["labels"]["rollouts-pod-template-hash"] == status["currentPodHash"]
    ]
    return Report(
        not status.get("abort"),
        tuple(gateway.weights),
        _measurements(analyses),
        "; ".join(each["status"].get("message", "") for each in analyses) or status.get("message", ""),
        checked - events,
        load.reconnects - reconnects,
    )


async def _check_cookie(url: str) -> None:
    """Wait until a user with the cookie reaches the canary. Other users must still reach the old version."""
    async with httpx2.AsyncClient(base_url=url) as client, asyncio.timeout(_ROLLOUT_TIMEOUT_S):

        async def reaches_canary() -> bool:
            answer = await client.get("/healthz", headers={"Cookie": "theme=dark; tickwire-canary=1"})
            return answer.headers.get(SUBSET_HEADER) == "canary"

        await wait_until(reaches_canary, poll_interval_s=0.2)
        assert (await client.get("/healthz")).headers[SUBSET_HEADER] == "stable"


async def _wait_until_settled(server: ApiServer, condition: Any, timeout_s: float) -> Any:
    """Wait until the Rollout satisfies a condition, and until only the pods of its stable version run."""
    rollout = await wait_for(server, _ROLLOUT, lambda found: condition(found.get("status", {})), timeout_s=timeout_s)
    status = rollout["status"]
    kept = status["stableRS"]

    def are_only_stable(found: Any) -> bool:
        hashes = [each["metadata"]["labels"].get("rollouts-pod-template-hash") for each in found["items"]]
        return [each for each in hashes if each] == [kept] * _REPLICAS

    await wait_for(server, _PODS, are_only_stable, timeout_s=timeout_s)
    return status


def _measurements(analyses: Sequence[Any]) -> dict[str, list[float]]:
    """Return the values of each metric of the analyses."""
    values: dict[str, list[float]] = {}
    for analysis in analyses:
        for metric in analysis["status"].get("metricResults", ()):
            measured = [each["value"] for each in metric["measurements"] if "value" in each]
            values.setdefault(metric["name"], []).extend(json.loads(each)[0] for each in measured)
    return values


async def _apply_manifests(server: ApiServer, journal: str, prometheus_url: str) -> None:
    """Apply the overlay, with the addresses of this machine and shorter times."""
    definitions = server.apply(*custom_definitions())
    assert definitions.returncode == 0, definitions.stderr
    for kind in (
        "rollouts.argoproj.io",
        "virtualservices.networking.istio.io",
        "servicemonitors.monitoring.coreos.com",
    ):
        async with asyncio.timeout(_START_TIMEOUT_S):
            while not server.knows(kind):
                await asyncio.sleep(_POLL_INTERVAL_S)
    resources = render("canary")
    port = find_free_port()
    for resource in resources:
        _adapt(resource, journal, prometheus_url, port)
    applied = server.apply(*resources)
    assert (applied.returncode, applied.stderr) == (0, ""), applied.stderr


def _adapt(resource: Any, journal: str, prometheus_url: str, port: int) -> None:
    """Change the addresses and the times of a resource."""
    kind, spec = resource["kind"], resource.get("spec", {})
    if kind == "ConfigMap":
        resource["data"] = {
            "TICKWIRE_JOURNAL": journal,
            "TICKWIRE_FEED": "http",
            "TICKWIRE_HEARTBEAT": "1",
            "TICKWIRE_TRUSTED_PROXIES": "127.0.0.0/8",
            "TICKWIRE_LOG_LEVEL": "warning",
        }
    elif kind == "Deployment":
        spec["template"]["spec"]["containers"][0]["ports"][0]["containerPort"] = port
    elif kind == "AnalysisTemplate":
        for metric in spec["metrics"]:
            metric["interval"] = _MEASURE_EVERY
    elif kind == "Rollout":
        canary = spec["strategy"]["canary"]
        spec["replicas"] = _REPLICAS
        canary |= {"scaleDownDelaySeconds": _SCALE_DOWN_DELAY_S, "abortScaleDownDelaySeconds": _SCALE_DOWN_DELAY_S}
        canary["analysis"]["args"] += [
            {"name": "window", "value": _WINDOW},
            {"name": "prometheus", "value": prometheus_url},
        ]
        canary["analysis"]["measurementRetention"] = [{"metricName": ".*", "limit": _MAX_MEASUREMENTS}]
        for step in canary["steps"]:
            if "pause" in step:
                step["pause"]["duration"] = _PAUSE


@contextlib.asynccontextmanager
async def _prometheus(folder: Path) -> AsyncIterator[str]:
    """Run Prometheus, which scrapes the edges that `_list_edges` writes to a file. Yield its URL."""
    files = {"files": [str(folder / _TARGETS)]}
    scrape = {"job_name": "edge", "scrape_interval": "1s", "file_sd_configs": [files]}
    config = folder / "prometheus.yaml"
    config.write_text(yaml.safe_dump({"scrape_configs": [scrape]}))
    url = f"http://127.0.0.1:{find_free_port()}"
    options = (f"--storage.tsdb.path={folder / 'tsdb'}", f"--web.listen-address={url.removeprefix('http://')}")
    async with running(folder, "prometheus", f"--config.file={config}", *options):
        yield url


async def _list_edges(server: ApiServer, folder: Path) -> None:
    """Write the addresses of the edges for Prometheus, with the label that the ServiceMonitor adds.

    Prometheus of Debian cannot read them from an API server.
    """
    written = None
    while True:
        edges = [
            {
                "targets": [f"{pod['status']['podIP']}:{pod['spec']['containers'][0]['ports'][0]['containerPort']}"],
                "labels": {"rollouts_pod_template_hash": pod["metadata"]["labels"]["rollouts-pod-template-hash"]},
            }
            for pod in (await server.get(_PODS, labelSelector="app.kubernetes.io/component=edge"))["items"]
            if "podIP" in pod["status"]
        ]
        if edges != written:
            written = edges
            partial = folder / "partial"
            partial.write_text(json.dumps(edges))
            partial.rename(folder / _TARGETS)
        await asyncio.sleep(_POLL_INTERVAL_S)


@contextlib.asynccontextmanager
async def _background(*coroutines: Any) -> AsyncIterator[None]:
    """Run coroutines while the block runs. If one fails, cancel the block."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(each) for each in coroutines]
        yield
        for task in tasks:
            task.cancel()


def _table(reports: Mapping[str, Report]) -> str:
    names = sorted(next(iter(reports.values())).measurements)
    head = " | ".join(f"`{name}`" for name in names)
    lines = [f"| canary | decision | weights of the VirtualService | measurements | {head} | events | reconnects |"]
    lines.append("|---" * (6 + len(names)) + "|")
    for canary, report in reports.items():
        decision = "promoted" if report.is_promoted else "rolled back"
        weights = ", ".join(f"{weight} %" for weight in report.weights)
        values = [report.measurements[name] for name in names]
        figures = " | ".join(f"{min(each):.4f} to {max(each):.4f}" for each in values)
        counts = f"{min(map(len, values))} | {figures} | {report.events} | {report.reconnects:,}"
        lines.append(f"| {canary} | {decision} | {weights} | {counts} |")
    reasons = (f"{canary}: {report.reason}" for canary, report in reports.items() if report.reason)
    return "\n".join((*lines, "", *reasons))


if __name__ == "__main__":
    sys.exit(main())
