"""The Compose files and the workflows are valid, and refer to files, services, jobs and targets that exist."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
COMPOSE_FILES = (ROOT / "compose.yaml", ROOT / "compose.full.yaml")
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yaml"))
# The package check-jsonschema contains these schemas, so the test needs no network.
COMPOSE_SCHEMA, WORKFLOW_SCHEMA = "vendor.compose-spec", "vendor.github-workflows"
HOST = re.compile(r"(?<![\w.-])([a-z][a-z\d-]*):\d{2,5}\b")


def schema_errors(schema: str, *files: Path) -> str:
    """Return the messages of the validation, or an empty text if all files are valid."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, *map(str, files)]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    return checked.stdout if checked.returncode else ""


def unknown_references_of_compose(text: str) -> list[str]:
    """Return the files, volumes, services and hosts that a Compose file names, but that do not exist."""
    document = yaml.safe_load(text)
    services, unknown, texts = document["services"], list[str](), [text]
    for service in services.values():
        unknown += [name for name in service.get("depends_on", []) if name not in services]
        if "build" in service and not (ROOT / service["build"] / "Dockerfile").exists():
            unknown.append(service["build"])
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if not source.startswith("."):
                unknown += [] if source in document["volumes"] else [source]
            elif not (ROOT / source).exists():
                unknown.append(source)
            elif (ROOT / source).is_file():
                texts.append((ROOT / source).read_text(encoding="utf-8"))
    # Images have tags, which look like ports.
    lines = [line for each in texts for line in each.splitlines() if "image:" not in line and "volumes:" not in line]
    hosts = {host for line in lines for host in HOST.findall(line)}
    return unknown + sorted(hosts - {*services, "localhost"})


def unknown_references_of_workflow(text: str) -> list[str]:
    """Return the jobs, targets of make and matrix keys that a workflow names, but that do not exist."""
    jobs: dict[str, Any] = yaml.safe_load(text)["jobs"]
    targets = {*re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)}
    unknown = list[str]()
    for job in jobs.values():
        needs = job.get("needs", [])
        unknown += [name for name in ([needs] if isinstance(needs, str) else needs) if name not in jobs]
        matrix = job.get("strategy", {}).get("matrix", {})
        unknown += [key for key in re.findall(r"\$\{\{ matrix\.(\w+) \}\}", str(job)) if key not in matrix]
        for step in job["steps"]:
            called = re.findall(r"\bmake ([a-z -]+)", step.get("run", ""))
            unknown += [target for words in called for target in words.split() if target not in targets]
    return unknown


def test_files_are_valid() -> None:
    assert schema_errors(COMPOSE_SCHEMA, *COMPOSE_FILES) == ""
    assert schema_errors(WORKFLOW_SCHEMA, *WORKFLOWS) == ""


@pytest.mark.parametrize("path", COMPOSE_FILES, ids=lambda path: path.name)
def test_compose_file_has_no_unknown_reference(path: Path) -> None:
    assert unknown_references_of_compose(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflow_has_no_unknown_reference(path: Path) -> None:
    assert unknown_references_of_workflow(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("schema", "name", "right", "wrong"),
    [
        (COMPOSE_SCHEMA, "compose.yaml", "read_only:", "readonly:"),
        (WORKFLOW_SCHEMA, ".github/workflows/test.yaml", "runs-on:", "run-on:"),
    ],
)
def test_misspelled_key_is_invalid(schema: str, name: str, right: str, wrong: str, tmp_path: Path) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    assert right in text
    (tmp_path / "file.yaml").write_text(text.replace(right, wrong), encoding="utf-8")
    assert wrong.strip(":") in schema_errors(schema, tmp_path / "file.yaml")


@pytest.mark.parametrize(
    ("right", "wrong", "unknown"),
    [
        ("build: .", "build: ./image", "./image"),
        ("./deploy/compose/Caddyfile:", "./deploy/compose/Caddyfil:", "./deploy/compose/Caddyfil"),
        ("caddy:/data", "cady:/data", "cady"),
        ("[nats-1, nats-2", "[nats-4, nats-2", "nats-4"),
        ("http://store:7070", "http://stor:7070", "stor"),
    ],
)
def test_wrong_reference_in_a_compose_file_is_found(right: str, wrong: str, unknown: str) -> None:
    text = (ROOT / "compose.full.yaml").read_text(encoding="utf-8")
    assert right in text
    assert unknown in unknown_references_of_compose(text.replace(right, wrong, 1))


@pytest.mark.parametrize(
    ("name", "right", "wrong", "unknown"),
    [
        ("release", "needs: check", "needs: chek", "chek"),
        ("release", "make release-check", "make release-chek", "release-chek"),
        ("test", "make check test", "make check tests", "tests"),
        ("test", "matrix.python", "matrix.pyton", "pyton"),
    ],
)
def test_wrong_reference_in_a_workflow_is_found(name: str, right: str, wrong: str, unknown: str) -> None:
    text = (ROOT / ".github" / "workflows" / f"{name}.yaml").read_text(encoding="utf-8")
    assert right in text
    assert unknown_references_of_workflow(text.replace(right, wrong)) == [unknown]
