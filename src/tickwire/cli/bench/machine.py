"""What the figures were taken on."""

from __future__ import annotations

import os
import platform
import sys
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tickwire.errors import InputError

_HOUSE = Path(__file__).resolve().parents[4]


def describe() -> dict[str, Any]:
    """The machine and the versions that matter."""
    return {
        "cpu": _cpu(),
        "cores": len(cores()),
        "pinned": pinned(),
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "tickwire": version("tickwire"),
        "uvicorn": version("uvicorn"),
        "uvloop": version("uvloop"),
    }


def cores() -> list[int]:
    """The cores this process may use."""
    return sorted(os.sched_getaffinity(0)) if sys.platform == "linux" else list(range(os.cpu_count() or 1))


def pinned() -> bool:
    """Whether server and load get a core each."""
    return sys.platform == "linux" and len(cores()) > 1


@cache
def sources() -> Path:
    """The folder with the load and the peers; InputError where this is not a checkout."""
    folder = _HOUSE / "benchmarks"
    if not (folder / "load" / "load.c").exists():
        raise InputError("this benchmark needs a checkout of Tickwire, with its folder benchmarks/")
    return folder


def built() -> Path:
    """The folder for what is compiled, kept between runs."""
    folder = _HOUSE / ".bench"
    folder.mkdir(exist_ok=True)
    return folder


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())
