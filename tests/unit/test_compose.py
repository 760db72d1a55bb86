"""The Compose files and the image: hardened services, known settings, and files that the build context contains."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from tickwire.settings import ENV_PREFIX, Settings
from tickwire.settings_rules import variable_warnings

ROOT = Path(__file__).parents[2]
COMPOSE_FILES = ("compose.yaml", "compose.full.yaml")


def load_services(name: str) -> dict:
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))["services"]


@pytest.mark.parametrize("name", COMPOSE_FILES)
def test_compose_services_have_valid_settings_and_few_rights(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    services = [service for service in load_services(name).values() if service["image"] == "tickwire"]
    for service in services:
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        settings = {key: value for key, value in service["environment"].items() if key.startswith(ENV_PREFIX)}
        assert [*variable_warnings(settings)] == []
        for key, value in settings.items():
            monkeypatch.setenv(key, value)
        Settings()
        for key in settings:
            monkeypatch.delenv(key)
    assert len(services) == (1 if name == "compose.yaml" else 4)


def test_dockerfile_copies_only_files_that_the_context_contains() -> None:
    """`.dockerignore` excludes everything that it does not list."""
    included = re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(encoding="utf-8"), re.MULTILINE)
    assert all((ROOT / path).exists() for path in included)
    copied = re.findall(r"^COPY ([^-.\s]\S*) ", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    assert copied
    for path in copied:
        assert any(path == each or path.startswith(f"{each}/") for each in included), path
