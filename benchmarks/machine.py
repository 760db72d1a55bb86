"""Describe the machine that runs the benchmarks, and locate the folders of the checkout."""

from __future__ import annotations

import os
import platform
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

SOURCES_FOLDER = Path(__file__).resolve().parent
"""The folder with the sources of the load generator (`load`) and of the peers (`peers`)."""

_BUILD_FOLDER = SOURCES_FOLDER.parent / ".bench"


def describe_machine() -> dict[str, Any]:
    """Return the hardware, the system, the versions of the programs that influence the figures, and the time."""
    return {
        "cpu": _cpu_model(),
        "cores": len(available_cores()),
        "pinned": can_pin_cores(),
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "tickwire": version("tickwire"),
        "uvicorn": version("uvicorn"),
        "uvloop": version("uvloop"),
        "measured_at": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }


def available_cores() -> list[int]:
    """Return the numbers of the cores on which this process may run."""
    return sorted(os.sched_getaffinity(0)) if sys.platform == "linux" else list(range(os.cpu_count() or 1))


def can_pin_cores() -> bool:
    """Return whether the server and the load generator can run on separate cores."""
    return sys.platform == "linux" and len(available_cores()) > 1


def build_folder() -> Path:
    """Return the folder for compiled programs. The programs remain there between runs."""
    _BUILD_FOLDER.mkdir(exist_ok=True)
    return _BUILD_FOLDER


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())
