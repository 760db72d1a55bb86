"""The number of readers and connections that the limit of open files permits.

Each connection occupies one descriptor (open file). If the connections occupied all descriptors, the server could
neither answer health checks nor open the files of its journal.
"""

from __future__ import annotations

import contextlib
import logging
import resource
from pathlib import Path
from typing import NamedTuple

from tickwire.errors import SettingsError

# The number of descriptors reserved for files of the journal, and for connections to a feed, a broker and a key server.
RESERVED_FILES = 32
# When the server has its maximum number of readers, this number of connections remains for health checks, metrics,
# admins and publishers.
RESERVED_CONNECTIONS = 32
# The maximum number of connections without a stream. An idle connection occupies about 10 KB.
MAX_OTHER_CONNECTIONS = 4_096
_DESCRIPTOR_FOLDER = Path("/dev/fd")

log = logging.getLogger(__name__)


class Capacity(NamedTuple):
    """The maximum number of readers, and the maximum number of all connections, of this process."""

    max_readers: int
    max_connections: int


def raise_open_file_limit() -> None:
    """Raise the limit of open files to the maximum that the operating system permits.

    On many systems, the initial limit of a process is 1,024 files.
    """
    _, hard_limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    # Some systems reject the value "unlimited". In this case, keep the present limit.
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard_limit, hard_limit))


def plan_capacity(max_readers: int) -> Capacity:
    """Return the capacity of this process.

    `max_readers` is the configured number of readers; 0 means that the process accepts no readers.

    Raise SettingsError if the limit of open files leaves no room for readers or other connections.
    """
    file_limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if file_limit == resource.RLIM_INFINITY:
        return Capacity(max_readers, max_readers + MAX_OTHER_CONNECTIONS)
    capacity = compute_capacity(max_readers, file_limit, len([*_DESCRIPTOR_FOLDER.iterdir()]))
    if capacity.max_readers < min(1, max_readers):
        raise SettingsError(
            f"the limit of {file_limit} open files leaves no room for readers: raise the limit, for example "
            "with ulimit -n 65536"
        )
    return capacity


def log_capacity(capacity: Capacity, max_readers: int) -> None:
    """Log the number of readers that this process accepts, and the reason. `max_readers` is the configured number."""
    file_limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if capacity.max_readers < max_readers:
        log.warning(
            "the server accepts at most %d readers, because the limit of open files is %d: raise that limit (ulimit "
            "-n, or LimitNOFILE= of systemd) to accept the %d readers of --max-readers",
            capacity.max_readers,
            file_limit,
            max_readers,
        )
    elif max_readers:
        log.info(
            "the server accepts at most %d readers (--max-readers); its limit of %d open files is high enough for them",
            max_readers,
            file_limit,
        )


def compute_capacity(max_readers: int, file_limit: int, open_files: int) -> Capacity:
    """Return the capacity of a process that has `open_files` files open, and may open `file_limit` files."""
    max_connections = file_limit - open_files - RESERVED_FILES
    readers = min(max_readers, max_connections - RESERVED_CONNECTIONS)
    return Capacity(readers, min(max_connections, readers + MAX_OTHER_CONNECTIONS))
