"""The bounded way from the event loop into the writer's thread."""

from __future__ import annotations

import asyncio
import queue
from collections.abc import Sequence
from dataclasses import dataclass

from tickwire.core.event import Entry, Span
from tickwire.journal.base import State

MOST_JOBS = 10_000  # what one commit may carry: it stays within tens of milliseconds
MOST_BYTES = 16 * 2**20  # 200,000 packed ticks


@dataclass(eq=False, slots=True)
class Append:
    """An entry on its way into the journal; `crc` is that of its data, `ts` when the journal took it."""

    entry: Entry
    ts: int
    crc: int
    done: asyncio.Future[Span]

    @property
    def size(self) -> int:
        """Bytes it holds while it is queued."""
        return len(self.entry.data)


@dataclass(eq=False, slots=True)
class Save:
    """A summary on its way into the journal."""

    state: State
    ts: int
    done: asyncio.Future[None]

    @property
    def size(self) -> int:
        """Bytes it holds while it is queued."""
        return len(self.state.data)


Job = Append | Save


class Intake:
    """Jobs in the order of their coming; what does not fit waits on the loop's side, where it can be withdrawn.

    `put`, `withdraw`, `release` and `close` are the loop's, `get` is the thread's.
    """

    def __init__(self, jobs: int = MOST_JOBS, size: int = MOST_BYTES) -> None:
        self._most_jobs = jobs
        self._most_bytes = size
        self._jobs = 0
        self._bytes = 0
        self._inside: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._outside: dict[Job, None] = {}

    @property
    def waiting(self) -> int:
        """Jobs that wait for room."""
        return len(self._outside)

    def put(self, job: Job) -> None:
        """Give a job to the thread, or let it wait for room behind those that already do."""
        if self._outside or not self._fits(job):
            self._outside[job] = None
        else:
            self._hand_over(job)

    def withdraw(self, job: Job) -> None:
        """Take back a job whose caller has gone, if the thread does not have it yet."""
        self._outside.pop(job, None)

    def release(self, jobs: Sequence[Job]) -> None:
        """The thread is done with `jobs`: let as many others in."""
        self._jobs -= len(jobs)
        self._bytes -= sum(job.size for job in jobs)
        while self._outside and self._fits(job := next(iter(self._outside))):
            del self._outside[job]
            self._hand_over(job)

    def close(self) -> None:
        """Let everybody in who waits, and after them nobody."""
        for job in self._outside:
            self._hand_over(job)
        self._outside.clear()
        self._inside.put(None)

    def get(self) -> tuple[list[Job], bool]:
        """All jobs that are there, waiting for one at least, and whether more may come."""
        jobs: list[Job] = []
        job = self._inside.get()
        while job is not None:
            jobs.append(job)
            try:
                job = self._inside.get_nowait()
            except queue.Empty:
                return jobs, True
        return jobs, False

    def idle(self) -> bool:
        """Whether nothing is there for the thread to do."""
        return self._inside.empty()

    def _fits(self, job: Job) -> bool:
        return not self._jobs or (self._jobs < self._most_jobs and self._bytes + job.size <= self._most_bytes)

    def _hand_over(self, job: Job) -> None:
        self._jobs += 1
        self._bytes += job.size
        self._inside.put(job)
