"""The manifests of deploy/kubernetes, as kubectl applies them, and the definitions of their custom resources."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import yaml

_OVERLAYS = Path(__file__).parents[1] / "kubernetes" / "overlays"
# The Go modules that contain the definitions of custom resources.
CUSTOM_RESOURCES = {
    "github.com/argoproj/argo-rollouts@v1.8.3": "manifests/crds/*-crd.yaml",
    "github.com/prometheus-operator/prometheus-operator@v0.85.0": "example/prometheus-operator-crd/*monitors.yaml",
    "istio.io/api@v1.32.0": "kubernetes/customresourcedefinitions.gen.yaml",
}


def render(overlay: str) -> list[Any]:
    """Return the resources of an overlay."""
    command = ["kubectl", "kustomize", str(_OVERLAYS / overlay)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [*yaml.load_all(output, yaml.CSafeLoader)]


def custom_definitions() -> list[Any]:
    """Return the definitions of all custom resources of the overlays. Go fetches the modules that contain them."""
    definitions = []
    for module, pattern in CUSTOM_RESOURCES.items():
        command = ["go", "mod", "download", "-json", module]
        folder = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)["Dir"]
        for file in Path(folder).glob(pattern):
            definitions += [each for each in yaml.load_all(file.read_text(encoding="utf-8"), yaml.CSafeLoader) if each]
    return definitions
