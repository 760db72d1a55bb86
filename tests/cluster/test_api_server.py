"""A real API server of Kubernetes accepts the manifests, and rejects wrong ones.

The test needs etcd, kubectl, go and kube-apiserver on the PATH. deploy/rehearsal/build.sh builds kube-apiserver.
"""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
from deploy.rehearsal.control_plane import running_api_server
from deploy.rehearsal.manifests import custom_definitions
from deploy.rehearsal.programs import missing_programs
from tests.unit.test_kubernetes import OVERLAYS, render

from tickwire.testing.waiting import wait_until

PROGRAMS = ("etcd", "go", "kube-apiserver", "kubectl")


@pytest.mark.long
@pytest.mark.timeout(600)
async def test_api_server_accepts_the_manifests_and_rejects_mistakes(tmp_path: Path) -> None:
    if missing := missing_programs(PROGRAMS):
        pytest.skip(f"not installed: {' '.join(missing)}")
    async with running_api_server(tmp_path) as server:
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
