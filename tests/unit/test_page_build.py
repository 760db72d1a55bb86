"""The build of the dashboard, `python dashboard/build.py`."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ROOT / "dashboard" / "node_modules"


@pytest.mark.skipif(not PACKAGES.exists(), reason="not installed: python dashboard/build.py")
def test_the_page_builds_in_a_folder_whose_name_has_spaces_and_accents(tmp_path: Path) -> None:
    """The path of a URL escapes these characters, so a build must not use it as the name of a file."""
    copy = tmp_path / "tick wire für uns"
    ignored = shutil.ignore_patterns("node_modules", "dist", ".build", ".tests")
    for folder in ("dashboard", "clients/js"):
        shutil.copytree(ROOT / folder, copy / folder, ignore=ignored)
    (copy / "dashboard" / "node_modules").symlink_to(PACKAGES)
    build = subprocess.run(
        [sys.executable, str(copy / "dashboard" / "build.py")],
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    assert build.returncode == 0, build.stdout + build.stderr
    assert (copy / "src/tickwire/server/pages/app/index.html").exists()
