"""The queue of entries and snapshots to write. The event loop fills it, and the writer thread empties it."""

from __future__ import annotations

import asyncio
import queue
from dataclasses import dataclass

from tickwire.core.event import JournalEntry, SequenceRange
from tickwire.journal.base import Snapshot

# The limits for one commit. With these limits, a commit takes at most tens of milliseconds.
MAX_COMMIT_JOBS = 10_000
# 200,000 packed ticks have this size.
MAX_COMMIT_BYTES = 16 * 2**20


@dataclass(eq=False, slots=True)
class AppendJob:
    """An entry to append. `ts` is the time of the call to `append`, in nanoseconds since the Unix epoch."""

    entry: JournalEntry
    ts: int
    future: asyncio.Future[SequenceRange]

    @property
    def size_bytes(self) -> int:
        """The size of the entry's data in bytes."""
        return len(self.entry.data)


@dataclass(eq=False, slots=True)
class SnapshotJob:
    """A snapshot to save. `ts` is the time of the call to `save_snapshot`, in nanoseconds since the Unix epoch."""

    snapshot: Snapshot
    ts: int
    future: asyncio.Future[None]

    @property
    def size_bytes(self) -> int:
        """The size of the snapshot's data in bytes."""
        return len(self.snapshot.data)


WriteJob = AppendJob | SnapshotJob


class WriteQueue:
    """The append jobs and snapshot jobs for the writer thread, in the order of their arrival.

    The event loop calls `enqueue` and `close`. The writer thread calls the other methods.

    The queue does not limit the number of jobs. Each caller waits for the result of its job, so there are never more
    jobs than callers.
    """

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[WriteJob | None] = queue.SimpleQueue()

    def enqueue(self, job: WriteJob) -> None:
        self._jobs.put(job)

    def close(self) -> None:
        """Append an end mark to the queue. The writer thread stops when it reads the mark."""
        self._jobs.put(None)

    def next_batch(self, timeout_s: float) -> tuple[list[WriteJob], bool]:
        """Wait for jobs. Return the jobs for one commit, and whether more jobs may follow.

        The list of jobs is empty if no job arrives within `timeout_s` seconds, or if the queue is closed and empty.
        """
        jobs: list[WriteJob] = []
        size = 0
        try:
            job = self._jobs.get(timeout=timeout_s)
        except queue.Empty:
            return jobs, True
        while job is not None:
            jobs.append(job)
            size += job.size_bytes
            if len(jobs) >= MAX_COMMIT_JOBS or size >= MAX_COMMIT_BYTES:
                return jobs, True
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                return jobs, True
        return jobs, False

    def is_empty(self) -> bool:
        return self._jobs.empty()
