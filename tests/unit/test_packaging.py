"""The files of the distributions, and a build on a machine without Node."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from hatch_build import C_SOURCES, compile_libraries
from hatchling.builders.wheel import WheelBuilder

from tickwire.server.transport.senders.native_call import NativeCall
from tickwire.server.transport.senders.send_call import check_send_call

ROOT = Path(__file__).parents[2]


def test_wheel_contains_the_package_and_nothing_else() -> None:
    paths = [file.distribution_path for file in WheelBuilder(str(ROOT)).recurse_included_files()]
    assert "tickwire/cli/serve.py" in paths
    assert {path.split("/")[0] for path in paths} == {"tickwire"}
    assert not [path for path in paths if "bench" in path]


def test_the_libraries_are_compiled_if_the_machine_has_a_compiler(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a compiler, the installation works, and the libraries of an earlier build are removed."""
    for source in C_SOURCES:
        (tmp_path / source).parent.mkdir(parents=True)
        shutil.copy(ROOT / source, tmp_path / source)
    libraries = [(tmp_path / source).with_suffix(".so") for source in C_SOURCES]
    if shutil.which("cc") is not None:
        assert compile_libraries(tmp_path)
        check_send_call(NativeCall(libraries[0]))
        assert libraries[1].exists()
    for library in libraries:
        library.touch()
    (tmp_path / "cc").write_text("#!/bin/sh\necho 'no headers' >&2\nexit 1\n")
    (tmp_path / "cc").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not compile_libraries(tmp_path)
    (tmp_path / "cc").unlink()
    assert not compile_libraries(tmp_path)
    output = capsys.readouterr().err
    assert "quote_json.c cannot be compiled, so the server will be slower: no headers" in output
    assert "no C compiler is installed: the server will be slower, and has no sender `native`" in output
    assert {*(tmp_path / "src").rglob("*.*")} == {tmp_path / source for source in C_SOURCES}


def test_build_requirements_contain_the_node_that_the_lock_pins() -> None:
    document = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (node,) = document["dependency-groups"]["node"]
    assert node in document["build-system"]["requires"]
    (pinned,) = re.findall(r"^(\S+)==24\.", (ROOT / "locks" / "node.txt").read_text(encoding="utf-8"), re.MULTILINE)
    assert node.startswith(f"{pinned}>=24")


async def run(*command: str | Path, cwd: Path, path: Path) -> None:
    """Run a command with this PATH. Fail with its output if its exit code is not 0."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=cwd,
        env={**os.environ, "PATH": str(path), "PYTHONPATH": ""},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()


@pytest.mark.long
async def test_wheel_and_sdist_are_built_without_node_on_the_machine(tmp_path: Path) -> None:
    """pip builds the page in its own environment. An sdist contains the page, and `tickwire serve` finds it."""
    checkout, programs, venv = tmp_path / "checkout", tmp_path / "bin", tmp_path / "venv"
    ignored = shutil.ignore_patterns("node_modules", "app", ".*", "artifacts", "tests", "__pycache__")
    shutil.copytree(ROOT, checkout, ignore=ignored)
    programs.mkdir()
    # npm runs the scripts of packages with sh.
    (programs / "sh").symlink_to("/bin/sh")
    await run(sys.executable, "-m", "venv", venv, cwd=tmp_path, path=programs)
    python = venv / "bin" / "python"
    await run(python, "-m", "pip", "install", "--quiet", "build", cwd=tmp_path, path=programs)
    await run(python, "-m", "build", "--outdir", tmp_path / "dist", cwd=checkout, path=programs)
    await run(python, "-m", "pip", "install", "--quiet", "--no-deps", checkout, cwd=tmp_path, path=programs)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    index = "tickwire/server/pages/app/index.html"
    assert index in zipfile.ZipFile(wheel).namelist()
    assert [*venv.glob(f"lib/python*/site-packages/{index}")]
