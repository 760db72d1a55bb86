"""A process that does not outlive the one that started it: without its supervisor a worker would go on unwatched."""

from __future__ import annotations

import os
import signal
import threading
import time

PARENT = "TICKWIRE_PARENT"  # the variable that names the process with which this one is to end
_LOOK_SECONDS = 0.25
_GRACE_SECONDS = 20.0  # to drain; a process that is stuck until then will not come loose any more


def end_with_parent() -> None:
    """From now on, end as by SIGTERM when the parent has ended, where the parent asked for that.

    A thread looks, so that it is noticed at whatever this process is, its start included.
    """
    parent = os.environ.get(PARENT)
    if parent is not None:
        threading.Thread(target=_watch, args=(int(parent),), name="parent", daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOK_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_GRACE_SECONDS)
    os._exit(1)
