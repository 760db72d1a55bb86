"""The programs of a Kubernetes cluster without nodes: etcd, the API server, and controllers."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import yaml
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from deploy.rehearsal.programs import running

from tickwire.testing.ports import find_free_port
from tickwire.testing.waiting import wait_until

_TOKEN = "a-token-of-this-rehearsal"  # noqa: S105  # the API server of the rehearsal ends with the rehearsal
# The controllers that create pods, and delete what belongs to deleted objects. The others need nodes.
_CONTROLLERS = "deployment-controller,replicaset-controller,garbage-collector-controller,namespace-controller"


class ApiServer:
    """An API server: it checks and stores resources."""

    def __init__(self, port: int) -> None:
        self.url = f"https://127.0.0.1:{port}"
        # The certificate is the server's own.
        self._client = httpx2.AsyncClient(
            base_url=self.url, verify=False, headers={"Authorization": f"Bearer {_TOKEN}"}, timeout=30
        )

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

    async def get(self, path: str, **query: str) -> Any:
        """Return the object at a path of the API."""
        return (await self._client.get(path, params=query)).raise_for_status().json()

    async def post(self, path: str, document: Any) -> None:
        """Create an object, or a subresource such as a binding."""
        (await self._client.post(path, json=document)).raise_for_status()

    async def patch(self, path: str, document: Any) -> None:
        """Merge a document into an object."""
        headers = {"Content-Type": "application/merge-patch+json"}
        (await self._client.patch(path, json=document, headers=headers)).raise_for_status()

    async def delete(self, path: str, **query: str) -> None:
        """Delete an object."""
        (await self._client.delete(path, params=query)).raise_for_status()

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    def write_kubeconfig(self, file: Path) -> Path:
        """Write the address and the token for other programs. Return the file."""
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "this", "cluster": {"server": self.url, "insecure-skip-tls-verify": True}}],
            "users": [{"name": "this", "user": {"token": _TOKEN}}],
            "contexts": [{"name": "this", "context": {"cluster": "this", "user": "this"}}],
            "current-context": "this",
        }
        file.write_text(yaml.safe_dump(config))
        return file

    def _run(self, *arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
        address = ("--server", self.url, "--insecure-skip-tls-verify", "--token", _TOKEN)
        command = ["kubectl", "--kubeconfig", "/dev/null", *address, *arguments]
        return subprocess.run(command, input=text, capture_output=True, text=True, check=False)


@contextlib.asynccontextmanager
async def running_api_server(folder: Path) -> AsyncIterator[ApiServer]:
    """Run etcd and an API server."""
    etcd_port, peer_port, port = find_free_port(), find_free_port(), find_free_port()
    etcd_url, peer_url = (f"http://127.0.0.1:{each}" for each in (etcd_port, peer_port))
    (folder / "tokens.csv").write_text(f'{_TOKEN},admin,1,"system:masters"\n')
    key = folder / "account.key"
    key.write_bytes(generate_private_key(65537, 2048).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    etcd = (
        f"etcd --data-dir {folder}/etcd --listen-client-urls {etcd_url} --advertise-client-urls {etcd_url} "
        f"--listen-peer-urls {peer_url} --initial-advertise-peer-urls {peer_url} --initial-cluster default={peer_url}"
    )
    api_server = (
        f"kube-apiserver --etcd-servers {etcd_url} --bind-address 127.0.0.1 --secure-port {port} "
        f"--cert-dir {folder}/certificates --token-auth-file {folder}/tokens.csv --authorization-mode RBAC "
        # No controller creates the service account of a namespace.
        "--disable-admission-plugins ServiceAccount --service-account-issuer https://127.0.0.1 "
        f"--service-account-key-file {key} --service-account-signing-key-file {key}"
    )
    async with running(folder, *etcd.split()) as first, running(folder, *api_server.split()) as second:
        server = ApiServer(port)

        def is_ready() -> bool:
            for process, name in ((first, "etcd"), (second, "kube-apiserver")):
                assert process.returncode is None, (folder / f"{name}.log").read_text()
            return server.is_ready()

        await wait_until(is_ready, poll_interval_s=0.5)
        yield server
        await server.close()


@contextlib.asynccontextmanager
async def running_controllers(folder: Path, server: ApiServer) -> AsyncIterator[None]:
    """Run the controllers of Kubernetes, which create the pods of Deployments, and the controller of Argo Rollouts.

    The definitions of Argo Rollouts and Istio must exist.
    """
    kubeconfig = server.write_kubeconfig(folder / "kubeconfig")
    manager = (
        f"kube-controller-manager --kubeconfig {kubeconfig} --controllers {_CONTROLLERS} --leader-elect=false "
        f"--bind-address 127.0.0.1 --secure-port {find_free_port()} --cert-dir {folder}/manager"
    )
    rollouts = (
        f"rollouts-controller --kubeconfig {kubeconfig} --leader-elect=false --loglevel info "
        f"--metricsport {find_free_port()} --healthzPort {find_free_port()}"
    )
    async with running(folder, *manager.split()) as first, running(folder, *rollouts.split()) as second:
        yield
        for process, name in ((first, "kube-controller-manager"), (second, "rollouts-controller")):
            assert process.returncode is None, (folder / f"{name}.log").read_text()[-3000:]


async def wait_for(server: ApiServer, path: str, condition: Any, *, timeout_s: float) -> Any:
    """Read an object until it satisfies a condition, and return it."""
    found = None

    async def is_met() -> bool:
        nonlocal found
        found = await server.get(path)
        return bool(condition(found))

    try:
        async with asyncio.timeout(timeout_s):
            await wait_until(is_met, poll_interval_s=0.5)
    except TimeoutError:
        raise TimeoutError(f"{path} has the status {(found or {}).get('status')}") from None
    return found
