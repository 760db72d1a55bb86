"""Where nats-server is on this machine, for those who start one of their own: tests and benchmarks."""

from __future__ import annotations

import os
import shutil

_SYSTEM = "/usr/sbin:/usr/local/sbin"  # where Debian has it; not everybody's PATH goes there


def find_server() -> str | None:
    """The program: what TICKWIRE_NATS_SERVER names, or the one that is installed."""
    given = os.environ.get("TICKWIRE_NATS_SERVER")
    return given or shutil.which("nats-server") or shutil.which("nats-server", path=_SYSTEM)
