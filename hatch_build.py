"""The build hook that adds the built page and the compiled C libraries to wheels.

The page is also in sdists, so that an installation needs no Node.js. An installation without a C compiler has no
libraries, and the server then uses Python code and another sender.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

C_SOURCES = (
    Path("src/tickwire/server/transport/senders/send_loop.c"),
    Path("src/tickwire/market/quote_json.c"),
)
"""The build compiles each of these files to a library in the same folder."""
_COMPILERS = ("cc", "gcc", "clang")


class BuildHook(BuildHookInterface[Any]):
    """Runs `dashboard/build.py` in a checkout, and compiles the libraries for wheels; an sdist holds the built page.

    An editable installation does not build the page, because `make` builds it after each change.
    """

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build the page and the libraries. Raise RuntimeError if neither the page nor its sources exist."""
        root = Path(self.root)
        if self.target_name == "wheel" and compile_libraries(root) and version != "editable":
            # The libraries depend on the machine, but not on the version of Python.
            build_data["pure_python"] = False
            build_data["tag"] = f"py3-none-{sysconfig.get_platform().replace('-', '_').replace('.', '_')}"
        script = root / "dashboard" / "build.py"
        if version == "editable":
            return
        if script.exists():
            subprocess.run([sys.executable, str(script)], check=True)
        elif not (root / "src/tickwire/server/pages/app/index.html").exists():
            raise RuntimeError(
                "neither the built page (src/tickwire/server/pages/app) nor its sources (dashboard/) exist: "
                "build from a checkout or a complete sdist"
            )


def compile_libraries(root: Path) -> bool:
    """Compile each C source. Return False if this machine has no working C compiler."""
    libraries = [(root / source).with_suffix(".so") for source in C_SOURCES]
    for library in libraries:
        library.unlink(missing_ok=True)
    compiler = next(filter(None, map(shutil.which, _COMPILERS)), None)
    if compiler is None:
        print("no C compiler is installed: the server will be slower, and has no sender `native`", file=sys.stderr)
        return False
    built = [_compile(compiler, root / source, library) for source, library in zip(C_SOURCES, libraries, strict=True)]
    return all(built)


def _compile(compiler: str, source: Path, library: Path) -> bool:
    # Write a new file and replace the old file, because a running server may have loaded the old library.
    new = library.with_suffix(".so.new")
    command = [compiler, "-O2", "-Wall", "-shared", "-fPIC", "-o", str(new), str(source), "-lm"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"{source.name} cannot be compiled, so the server will be slower: {done.stderr}", file=sys.stderr)
        return False
    new.replace(library)
    return True
