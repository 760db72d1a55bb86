"""A real API server of Kubernetes accepts the manifests, and rejects wrong ones.

The test needs etcd, kubectl, go and kube-apiserver on the PATH. To build kube-apiserver 1.34.1, copy the Go module
k8s.io/kubernetes, remove the directives `replace` from its go.mod, require v0.34.1 of the modules that they replaced,
and run `go build -mod=mod ./cmd/kube-apiserver`.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import json
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from tests.unit.test_kubernetes import CUSTOM_RESOURCES, OVERLAYS, render

from tickwire.testing.ports import find_free_port
from tickwire.testing.waiting import wait_until

PROGRAMS = ("etcd", "go", "kube-apiserver", "kubectl")
TOKEN = "a-token-of-this-test"


class ApiServer:
    """An API server without controllers: it checks and stores resources, and starts no pod."""

    def __init__(self, port: int) -> None:
        self._port = port

    def apply(self, *resources: Any, dry_run: bool = False) -> subprocess.CompletedProcess[str]:
        """Apply resources with strict validation."""
        return self._run(
            *("apply", "--server-side", "--validate=strict", "-f", "-"),
            *(("--dry-run=server",) if dry_run else ()),
            text=yaml.safe_dump_all(resources),
        )

    def is_ready(self) -> bool:
        return self._run("get", "--raw", "/readyz").returncode == 0

    def knows(self, kind: str) -> bool:
        return self._run("get", kind, "--all-namespaces").returncode == 0

    def _run(self, *arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
        address = ("--server", f"https://127.0.0.1:{self._port}", "--insecure-skip-tls-verify", "--token", TOKEN)
        command = ["kubectl", "--kubeconfig", "/dev/null", *address, *arguments]
        return subprocess.run(command, input=text, capture_output=True, text=True, check=False)


@contextlib.asynccontextmanager
async def running(folder: Path) -> AsyncIterator[ApiServer]:
    """Run etcd and an API server."""
    etcd_port, peer_port, port = find_free_port(), find_free_port(), find_free_port()
    etcd_url, peer_url = (f"http://127.0.0.1:{each}" for each in (etcd_port, peer_port))
    (folder / "tokens.csv").write_text(f'{TOKEN},admin,1,"system:masters"\n')
    key = folder / "account.key"
    key.write_bytes(generate_private_key(65537, 2048).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    commands = (
        f"etcd --data-dir {folder}/etcd --listen-client-urls {etcd_url} --advertise-client-urls {etcd_url} "
        f"--listen-peer-urls {peer_url} --initial-advertise-peer-urls {peer_url} --initial-cluster default={peer_url}",
        f"kube-apiserver --etcd-servers {etcd_url} --bind-address 127.0.0.1 --secure-port {port} "
        f"--cert-dir {folder}/certificates --token-auth-file {folder}/tokens.csv --authorization-mode RBAC "
        # The controllers that create the service account of a namespace do not run.
        "--disable-admission-plugins ServiceAccount --service-account-issuer https://127.0.0.1 "
        f"--service-account-key-file {key} --service-account-signing-key-file {key}",
    )
    processes = list[asyncio.subprocess.Process]()
    with (folder / "log").open("wb") as log:
        try:
            for command in commands:
                processes.append(await asyncio.create_subprocess_exec(*command.split(), stdout=log, stderr=log))
            server = ApiServer(port)

            def is_ready() -> bool:
                assert all(each.returncode is None for each in processes), (folder / "log").read_text()
                return server.is_ready()

            await wait_until(is_ready, poll_interval_s=0.5)
            yield server
        finally:
            for process in processes:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()


def custom_definitions() -> list[Any]:
    """Return the definitions of the custom resources of the overlays."""
    definitions = []
    for module, pattern in CUSTOM_RESOURCES.items():
        command = ["go", "mod", "download", "-json", module]
        folder = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)["Dir"]
        for file in Path(folder).glob(pattern):
            definitions += [each for each in yaml.load_all(file.read_text(encoding="utf-8"), yaml.CSafeLoader) if each]
    return definitions


@pytest.mark.long
@pytest.mark.timeout(600)
async def test_api_server_accepts_the_manifests_and_rejects_mistakes(tmp_path: Path) -> None:
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing:
        pytest.skip(f"not installed: {' '.join(missing)}")
    async with running(tmp_path) as server:
        defined = server.apply(*custom_definitions())
        assert defined.returncode == 0, defined.stderr
        await wait_until(lambda: server.knows("rollouts.argoproj.io"), poll_interval_s=0.5)
        for overlay in OVERLAYS:
            applied = server.apply(*render(overlay))
            # A warning names a pod that the restricted profile forbids, or a deprecated version.
            assert (applied.returncode, applied.stderr) == (0, ""), overlay
            print(f"{overlay}: {applied.stdout.count('serverside-applied')} resources")
        deployment = next(each for each in render("production") if each["kind"] == "Deployment")
        wrong = copy.deepcopy(deployment)
        wrong["spec"]["template"]["spec"]["containers"][0]["readinessProb"] = {}
        assert "readinessProb" in server.apply(wrong).stderr
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "edge", "namespace": deployment["metadata"]["namespace"]},
            "spec": deployment["spec"]["template"]["spec"],
        }
        created = server.apply(pod, dry_run=True)
        assert created.returncode == 0, created.stderr
        root = copy.deepcopy(pod)
        root["spec"]["securityContext"]["runAsNonRoot"] = False
        assert 'violates PodSecurity "restricted' in server.apply(root, dry_run=True).stderr
