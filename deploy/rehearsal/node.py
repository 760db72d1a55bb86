"""A machine that runs the pods of a cluster as processes."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
from deploy.rehearsal.control_plane import ApiServer

from tickwire.settings import ENV_PREFIX
from tickwire.testing.server import ServerProcess

_NAME = "this-machine"
_POLL_INTERVAL_S = 0.3


class Node:
    """Runs each pod of a namespace as a Tickwire process, as the scheduler and the kubelet do with containers.

    `versions` contains the program of each image. A pod has an address of its own on the loopback interface, and
    listens on the port of its container. The node reads the readiness probe, the preStop hook and the settings of the
    pod's manifest.
    """

    def __init__(
        self, server: ApiServer, namespace: str, folder: Path, versions: Mapping[str, type[ServerProcess]]
    ) -> None:
        self._server = server
        self._pods = f"/api/v1/namespaces/{namespace}/pods"
        self._config_maps = f"/api/v1/namespaces/{namespace}/configmaps"
        self._folder = folder
        self._versions = versions
        self._numbers = itertools.count(1)
        self._endings: dict[str, asyncio.Event] = {}

    async def run(self) -> None:
        """Start a process for each new pod, and stop the processes of deleted pods, until the task is cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                for pod in (await self._server.get(self._pods))["items"]:
                    uid = pod["metadata"]["uid"]
                    if uid not in self._endings:
                        self._endings[uid] = asyncio.Event()
                        group.create_task(self._run_pod(pod, self._endings[uid]))
                    if "deletionTimestamp" in pod["metadata"]:
                        self._endings[uid].set()
                await asyncio.sleep(_POLL_INTERVAL_S)

    async def _run_pod(self, pod: Any, ending: asyncio.Event) -> None:
        name = pod["metadata"]["name"]
        (container,) = pod["spec"]["containers"]
        address = f"127.0.1.{next(self._numbers)}"
        target = {"apiVersion": "v1", "kind": "Node", "name": _NAME}
        await self._server.post(f"{self._pods}/{name}/binding", {"metadata": {"name": name}, "target": target})
        port = container["ports"][0]["containerPort"]
        options = ("--host", address, "--port", str(port), *await self._options(container))
        process = self._versions[container["image"]](*options, cwd=self._folder, log=self._folder / f"{name}.log")
        async with process:
            await self._report_readiness(pod, address, ending)
            await asyncio.sleep(container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0))
            code = await process.stop()
            assert code == 0, f"the pod {name} ended with {code}"
        await self._server.delete(f"{self._pods}/{name}", gracePeriodSeconds="0")

    async def _options(self, container: Any) -> list[str]:
        """Return the settings of a container as options of the command line."""
        settings = {each["name"]: each["value"] for each in container.get("env", ())}
        for source in container.get("envFrom", ()):
            if "configMapRef" in source:
                document = await self._server.get(f"{self._config_maps}/{source['configMapRef']['name']}")
                settings |= document["data"]
        options = list[str]()
        for name, value in settings.items():
            options += (f"--{name.removeprefix(ENV_PREFIX).lower().replace('_', '-')}", value)
        return options

    async def _report_readiness(self, pod: Any, address: str, ending: asyncio.Event) -> None:
        """Probe the pod until it must end, and report each change of its readiness."""
        (container,) = pod["spec"]["containers"]
        probe, was_ready = container["readinessProbe"], None
        url = f"http://{address}:{container['ports'][0]['containerPort']}{probe['httpGet']['path']}"
        async with httpx2.AsyncClient(timeout=probe["timeoutSeconds"]) as client:
            while not ending.is_set():
                is_ready = False
                with contextlib.suppress(httpx2.TransportError):
                    is_ready = (await client.get(url)).is_success
                if is_ready is not was_ready:
                    was_ready = is_ready
                    status = _status(address, container, is_ready=is_ready)
                    await self._server.patch(f"{self._pods}/{pod['metadata']['name']}/status", {"status": status})
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(probe["periodSeconds"]):
                        await ending.wait()


def _status(address: str, container: Any, *, is_ready: bool) -> dict[str, Any]:
    """Return the status of a running pod, as the kubelet reports it."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    condition = {"status": str(is_ready), "lastTransitionTime": now}
    return {
        "phase": "Running",
        "podIP": address,
        "podIPs": [{"ip": address}],
        "startTime": now,
        "conditions": [{"type": kind, **condition} for kind in ("Ready", "ContainersReady")],
        "containerStatuses": [
            {
                "name": container["name"],
                "image": container["image"],
                "imageID": "",
                "ready": is_ready,
                "restartCount": 0,
                "state": {"running": {"startedAt": now}},
            }
        ],
    }
