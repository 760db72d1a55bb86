"""The targets of the Makefile that create .venv, with programs that stand in for Python."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# `python -m venv FOLDER` takes a few seconds. This replacement creates only the file of the interpreter in FOLDER.
SUPPORTED_PYTHON = f"""#!/bin/sh
[ "$1" = -m ] || exec {shlex.quote(sys.executable)} "$@"
mkdir -p "$3/bin" && ln -s {shlex.quote(sys.executable)} "$3/bin/python"
"""
OLD_PYTHON = """#!/bin/sh
[ "$1" = --version ] && echo "Python 3.8.18" && exit
[ "$1" = -m ] && mkdir -p "$3/bin" && cp "$0" "$3/bin/python" && exit
exit 1
"""

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="the program make is not installed")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the Makefile and two programs: `python` and `python3.8`. Its name contains a space."""
    tmp_path = tmp_path / "a folder"
    tmp_path.mkdir()
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name, text in (("python", SUPPORTED_PYTHON), ("python3.8", OLD_PYTHON)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    return tmp_path


def make_venv(folder: Path, python: str) -> subprocess.CompletedProcess[str]:
    command = ["make", ".venv/bin/python", f"PYTHON={python}"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_an_old_python_creates_no_venv(folder: Path) -> None:
    result = make_venv(folder, "./python3.8")
    assert result.returncode != 0
    assert "Tickwire requires Python 3.11 or newer, but ./python3.8 is Python 3.8.18" in result.stderr
    assert not (folder / ".venv").exists()


@pytest.mark.parametrize("damage", ["old", "uninstalled", "interrupted", "none"])
def test_a_venv_that_cannot_run_tickwire_is_created_again(folder: Path, damage: str) -> None:
    programs = folder / ".venv" / "bin"
    programs.mkdir(parents=True)
    (folder / ".venv" / ".run").touch()
    if damage == "old":
        shutil.copy(folder / "python3.8", programs / "python")
    elif damage == "uninstalled":
        (programs / "python").symlink_to("/nonexistent/python3")
    elif damage == "none":
        (programs / "python").symlink_to(sys.executable)
    result = make_venv(folder, "./python")
    assert result.returncode == 0, result.stderr
    assert (programs / "python").resolve() == Path(sys.executable).resolve()
    # Without this file, make installs the dependencies again.
    assert (folder / ".venv" / ".run").exists() == (damage == "none")
