"""Run a program, and end it when its parent process ends: `python exec_with_parent.py PARENT PROGRAM [ARG...]`.

PARENT is the id of the process that starts this script. The script replaces itself by the program. The script imports
only the standard library, so that Python starts quickly.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time

_PR_SET_PDEATHSIG = 1
_POLL_INTERVAL_S = 0.25


def main() -> None:
    """Arrange for a SIGTERM when the parent process ends, then run the program."""
    parent, command = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        # The kernel keeps this setting when the process executes another program.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    else:
        _start_watcher(parent)
    # The parent may have ended before the kernel setting or the watcher had an effect.
    if os.getppid() != parent:
        sys.exit("the parent process has ended")
    os.execv(command[0], command)  # noqa: S606  # the caller chooses the program


def _start_watcher(parent: int) -> None:
    """Start a process that sends SIGTERM to this process when the parent process has ended."""
    program = os.getpid()
    if os.fork():
        return
    while os.getppid() == program:
        try:
            os.kill(parent, 0)
        except ProcessLookupError:
            os.kill(program, signal.SIGTERM)
            break
        time.sleep(_POLL_INTERVAL_S)
    os._exit(0)


if __name__ == "__main__":
    main()
