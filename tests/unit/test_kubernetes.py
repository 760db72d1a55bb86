"""The Kubernetes manifests: valid for the API, known settings, and pods of the restricted profile."""

from __future__ import annotations

import copy
import os
import shutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml
from deploy.rehearsal import manifests

from tickwire.settings import ENV_PREFIX, Settings
from tickwire.settings_rules import check_settings

OVERLAYS = ("local", "production", "canary", "simulator")
KUBERNETES_VERSION = "1.34"
CUSTOM_GROUPS = ("argoproj.io", "monitoring.coreos.com", "networking.istio.io")


@cache
def render(overlay: str) -> list[dict]:
    """Return the resources of an overlay, as kubectl applies them."""
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed")
    return manifests.render(overlay)


def is_custom(resource: dict) -> bool:
    return resource["apiVersion"].startswith(CUSTOM_GROUPS)


def pod_templates(overlay: str) -> Iterator[dict]:
    for resource in render(overlay):
        if resource["kind"] in ("Deployment", "StatefulSet"):
            yield resource["spec"]["template"]["spec"]


def validate(resource: dict) -> None:
    kubernetes_validate.validate(resource, KUBERNETES_VERSION, strict=True)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_resources_are_valid(overlay: str) -> None:
    resources = [resource for resource in render(overlay) if not is_custom(resource)]
    for resource in resources:
        validate(resource)
    assert {resource["kind"] for resource in resources} >= {"Deployment", "Service", "NetworkPolicy", "Namespace"}


@pytest.mark.parametrize("name", ["readinessProb", "terminationGracePeriod"])
def test_misspelled_name_is_invalid(name: str) -> None:
    deployment = copy.deepcopy(next(each for each in render("production") if each["kind"] == "Deployment"))
    validate(deployment)
    pod = deployment["spec"]["template"]["spec"]
    (pod["containers"][0] if name == "readinessProb" else pod)[name] = 1
    with pytest.raises(kubernetes_validate.ValidationError):
        validate(deployment)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_pods_satisfy_the_restricted_profile(overlay: str) -> None:
    """https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted, and a read-only file system."""
    pods = [*pod_templates(overlay)]
    for pod in pods:
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        for container in pod["containers"]:
            context = container["securityContext"]
            assert context == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["resources"]["limits"]["memory"]
    assert len(pods) == (3 if overlay == "local" else 2)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_settings_of_the_pods_exist_and_fit_together(overlay: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (shared,) = (each["data"] for each in render(overlay) if each["metadata"]["name"].startswith("settings-"))
    for role in ("edge", "feed"):
        for name, value in {**shared, "TICKWIRE_ROLE": role}.items():
            assert name.removeprefix(ENV_PREFIX).lower() in Settings.model_fields
            monkeypatch.setenv(name, value)
        check_settings(Settings())


def test_component_for_traces_fits_the_canary(tmp_path: Path) -> None:
    folder = os.path.relpath(Path(__file__).parents[2] / "deploy" / "kubernetes", tmp_path)
    kustomization = {"resources": [f"{folder}/overlays/canary"], "components": [f"{folder}/components/traces"]}
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    resources = render(str(tmp_path))
    for resource in resources:
        if not is_custom(resource):
            validate(resource)
    for name in ("edge", "feed"):
        (deployment,) = (
            each for each in resources if each["kind"] == "Deployment" and each["metadata"]["name"] == name
        )
        variables = {each["name"]: each for each in deployment["spec"]["template"]["spec"]["containers"][0]["env"]}
        # Kubernetes replaces a variable only if it is defined before.
        assert [*variables][-3:] == ["POD_NAME", "POD_HASH", "OTEL_RESOURCE_ATTRIBUTES"]
        assert "rollouts-pod-template-hash=$(POD_HASH)" in variables["OTEL_RESOURCE_ATTRIBUTES"]["value"]
    (shared,) = (each["data"] for each in resources if each["metadata"]["name"].startswith("settings-"))
    assert shared["OTEL_EXPORTER_OTLP_ENDPOINT"].endswith(":4318")


@cache
def custom_schemas() -> dict[tuple[str, str], Any]:
    """Return the schema of each custom resource, by version and kind."""
    if shutil.which("go") is None:
        pytest.skip("go is not installed")
    schemas = {}
    for document in manifests.custom_definitions():
        for version in document["spec"]["versions"]:
            name = f"{document['spec']['group']}/{version['name']}", document["spec"]["names"]["kind"]
            schema = version["schema"]["openAPIV3Schema"]
            # The API server itself defines these keys.
            schema["properties"] |= {"apiVersion": {}, "kind": {}, "metadata": {}}
            schemas[name] = forbid_unknown_keys(schema)
    return schemas


def forbid_unknown_keys(schema: Any) -> Any:
    """Return a copy of the schema that rejects keys without a definition.

    The alternatives in `oneOf` and `anyOf` describe only some of the keys.
    """
    if not isinstance(schema, dict):
        return schema
    partial = ("allOf", "anyOf", "not", "oneOf")
    strict = {
        key: value if key in partial else forbid_unknown_keys(value) for key, value in schema.items() if key != "format"
    }
    is_open = schema.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in schema
    if isinstance(schema.get("properties"), dict) and not is_open and schema.get("type") == "object":
        strict["additionalProperties"] = False
    return strict


def validate_custom(resource: dict) -> None:
    jsonschema.validate(resource, custom_schemas()[resource["apiVersion"], resource["kind"]])


@pytest.mark.long
def test_custom_resources_are_valid_and_a_misspelled_name_is_not() -> None:
    resources = [resource for resource in render("canary") if is_custom(resource)]
    kinds = {
        "Rollout",
        "AnalysisTemplate",
        "Gateway",
        "VirtualService",
        "DestinationRule",
        "ServiceMonitor",
        "PodMonitor",
    }
    assert {resource["kind"] for resource in resources} == kinds
    for resource in resources:
        validate_custom(resource)
        wrong = copy.deepcopy(resource)
        wrong["spec"]["enpoints"] = []
        with pytest.raises(jsonschema.ValidationError):
            validate_custom(wrong)
