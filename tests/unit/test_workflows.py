"""The workflows of GitHub: pinned actions, few rights, and all supported Pythons."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yaml"))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflow_pins_its_actions_and_may_only_read(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    workflow = yaml.safe_load(text)
    assert workflow["permissions"] == {"contents": "read"}
    uses = re.findall(r"uses: (\S+)(.*)", text)
    assert uses
    for action, comment in uses:
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", action), action
        assert re.fullmatch(r"  # v\d+\.\d+\.\d+", comment), comment


def test_matrix_contains_the_supported_pythons() -> None:
    matrix = yaml.safe_load((ROOT / ".github" / "workflows" / "test.yaml").read_text(encoding="utf-8"))
    pythons = matrix["jobs"]["test"]["strategy"]["matrix"]["python"]
    found = re.search(r"for p in python3 ([^;]+);", (ROOT / "Makefile").read_text(encoding="utf-8"))
    assert sorted(pythons) == sorted(each.removeprefix("python") for each in found[1].split())
