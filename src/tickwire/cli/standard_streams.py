"""The standard streams of a server process.

Even if an output is closed, full or read by nobody, the server neither ends nor waits.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Sequence

_STDIN, _STDOUT, _STDERR = 0, 1, 2
# The maximum time that the server waits, during its start, until standard output accepts the banner.
_MAX_PRINT_WAIT_S = 0.5

log = logging.getLogger(__name__)


def open_standard_descriptors() -> None:
    """Open /dev/null in place of each closed standard stream.

    Otherwise the system would assign the descriptor of a closed stream to a connection or a file. The lines of the log
    would then go there. Call this function before the process opens any file.
    """
    for descriptor in (_STDIN, _STDOUT, _STDERR):
        try:
            os.fstat(descriptor)
        except OSError:
            # The system assigns the lowest free descriptor, which is the descriptor of the closed stream.
            os.open(os.devnull, os.O_RDWR)


def print_banner(lines: Sequence[str]) -> None:
    """Write lines to standard output. If no program reads standard output or the write fails, continue without an
    error."""
    text = "\n".join([*lines, ""]).encode(getattr(sys.stdout, "encoding", None) or "utf-8", errors="replace")
    # Use a daemon thread: if no program reads a full pipe, the thread stays blocked until the process ends.
    writer = threading.Thread(target=_write, args=(text,), name="tickwire-banner", daemon=True)
    writer.start()
    writer.join(_MAX_PRINT_WAIT_S)


def _write(text: bytes) -> None:
    try:
        while text:
            text = text[os.write(_STDOUT, text) :]
    except OSError as error:
        log.warning("cannot write to standard output: %s", error.strerror)
