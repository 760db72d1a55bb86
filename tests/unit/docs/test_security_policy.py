"""SECURITY.md names the supported versions and the times within which a reporter receives an answer."""

from __future__ import annotations

import re
from pathlib import Path

POLICY = (Path(__file__).parents[3] / "SECURITY.md").read_text()


def test_the_policy_names_versions_and_times() -> None:
    versions = POLICY.partition("## Supported versions")[2].partition("\n## ")[0]
    assert {row.split("|")[2].strip() for row in versions.splitlines() if row.startswith("| ")} >= {"yes", "no"}
    times = re.findall(r"within\s+(\d+)\s+(?:working\s+)?days", POLICY)
    assert len(times) >= 3
