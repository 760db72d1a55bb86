"""The way from the event loop into the writer's thread."""

from __future__ import annotations

import asyncio
import queue
from dataclasses import dataclass

from tickwire.core.event import Entry, Span
from tickwire.journal.base import State

# What one commit carries at most, so that it stays within tens of milliseconds.
MOST_JOBS = 10_000
MOST_BYTES = 16 * 2**20  # 200,000 packed ticks


@dataclass(eq=False, slots=True)
class Append:
    """An entry on its way into the journal; `ts` is when the journal took it."""

    entry: Entry
    ts: int
    done: asyncio.Future[Span]

    @property
    def size(self) -> int:
        """Bytes of its data."""
        return len(self.entry.data)


@dataclass(eq=False, slots=True)
class Save:
    """A summary on its way into the journal."""

    state: State
    ts: int
    done: asyncio.Future[None]

    @property
    def size(self) -> int:
        """Bytes of its data."""
        return len(self.state.data)


Job = Append | Save


class Intake:
    """Jobs in the order of their coming. `put` and `close` are the loop's, `get` and `idle` are the thread's.

    It needs no bound of its own: whoever appends waits for the answer, so there are as many jobs as there are callers.
    """

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()

    def put(self, job: Job) -> None:
        """Give a job to the thread."""
        self._jobs.put(job)

    def close(self) -> None:
        """Nothing comes after this."""
        self._jobs.put(None)

    def get(self) -> tuple[list[Job], bool]:
        """What is there, one job at least and not too much for a commit, and whether more may come."""
        jobs: list[Job] = []
        size = 0
        job = self._jobs.get()
        while job is not None:
            jobs.append(job)
            size += job.size
            if len(jobs) >= MOST_JOBS or size >= MOST_BYTES:
                return jobs, True
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                return jobs, True
        return jobs, False

    def idle(self) -> bool:
        """Whether nothing is there for the thread to do."""
        return self._jobs.empty()
