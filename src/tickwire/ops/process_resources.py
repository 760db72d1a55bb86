"""The resources that this process uses, as the operating system counts them."""

from __future__ import annotations

import os
import resource
import shutil
import sys
from pathlib import Path
from typing import NamedTuple

_PROC = Path("/proc")


class ProcessResources(NamedTuple):
    """The resources of this process. Without /proc, only the CPU time and the limit of open files are known."""

    cpu_s: float
    max_open_files: int
    resident_bytes: int | None = None
    virtual_bytes: int | None = None
    threads: int | None = None
    open_files: int | None = None
    # The start time of the process, in seconds since the Unix epoch.
    start_time_s: float | None = None


class DiskSpace(NamedTuple):
    """The size of a disk, and the free space that this process may use, in bytes."""

    size_bytes: int
    free_bytes: int


def read_process_resources() -> ProcessResources:
    """Return the present resources of this process. With 100,000 open files, this may take 50 ms."""
    times = os.times()
    known = ProcessResources(times.user + times.system, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    if not sys.platform.startswith("linux"):
        return known
    # Split the text after the last parenthesis, which ends the name of the process. The name may contain spaces and
    # parentheses.
    fields = (_PROC / "self" / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    threads, start_ticks, virtual_bytes, resident_pages = (int(fields[index]) for index in (17, 19, 20, 21))
    return known._replace(
        resident_bytes=resident_pages * os.sysconf("SC_PAGE_SIZE"),
        virtual_bytes=virtual_bytes,
        threads=threads,
        open_files=_count_open_files(),
        start_time_s=_boot_time_s() + start_ticks / os.sysconf("SC_CLK_TCK"),
    )


def read_disk_space(folder: str) -> DiskSpace | None:
    """Return the size and the free space of the disk with a folder.

    Return None if `folder` is empty, or if the disk does not answer.
    """
    try:
        usage = shutil.disk_usage(folder) if folder else None
    except OSError:
        return None
    return None if usage is None else DiskSpace(usage.total, usage.free)


def _count_open_files() -> int:
    folder = _PROC / "self" / "fd"
    # Since Linux 6.2, the size of the folder is the number of open files. On older systems, the size is 0, so count the
    # entries of the folder, except the entry for the folder itself, which is open during the count.
    return folder.stat().st_size or sum(1 for _ in folder.iterdir()) - 1


def _boot_time_s() -> float:
    lines = (_PROC / "stat").read_text(encoding="ascii").splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith("btime ")))
