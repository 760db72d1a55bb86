"""Write lines in a thread, so that the event loop never waits for a disk or for the reader of a pipe."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

MAX_QUEUED_BYTES = 4 * 1024 * 1024
"""The maximum size of the queued lines. The limit has room for the lines of about 20,000 requests."""


MAX_BATCH_BYTES = 64 * 1024
"""The maximum total size of the lines that the thread writes in one call.

A longer line is written in a call of its own.
"""
BATCH_WAIT_S = 0.02
"""The time that the thread waits for further lines of a batch.

Batches save time, because it takes longer to wake the thread than to queue a line.
"""


class LineWriter:
    """A bounded queue of lines, and a thread that passes each line to `write`.

    `write` may block, and may raise OSError. `dropped` counts the lines that were lost because the queue was full or
    `write` failed. When the thread can write again and the queue is empty, the thread also writes the text
    `describe_loss(count)`, which reports the number of lost lines. If `batches` is True, the thread waits BATCH_WAIT_S
    for further lines, and passes several lines to one call of `write`.
    """

    def __init__(
        self,
        name: str,
        write: Callable[[bytes], None],
        describe_loss: Callable[[int], bytes],
        *,
        batches: bool = False,
    ) -> None:
        self.dropped = 0
        self._max_batch_bytes = MAX_BATCH_BYTES if batches else 0
        self._write = write
        self._describe_loss = describe_loss
        self._reported = 0
        self._queue: deque[bytes] = deque()
        self._queued_bytes = 0
        self._is_closing = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def append(self, line: bytes) -> None:
        """Queue one line. If the queue is full or closed, drop the line and count it."""
        with self._changed:
            if self._is_closing or self._queued_bytes + len(line) > MAX_QUEUED_BYTES:
                self.dropped += 1
                return
            self._queue.append(line)
            self._queued_bytes += len(line)
            # Wake the thread only for the first line in the queue, because the thread waits only while the queue is
            # empty.
            if len(self._queue) == 1:
                self._changed.notify()

    def close(self, timeout_s: float) -> None:
        """Write the queued lines, and stop the thread.

        If the thread is still blocked after `timeout_s`, abandon it. The thread does not keep the process alive.
        """
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while lines := self._next_lines():
            if self._try_write(b"".join(lines), len(lines)) and not self._queue:
                self._report_loss()

    def _next_lines(self) -> list[bytes]:
        """Wait for lines. Return no lines once the writer is closing and the queue is empty."""
        with self._changed:
            while not self._queue:
                if self._is_closing:
                    return []
                self._changed.wait()
            if not self._is_closing and self._queued_bytes < self._max_batch_bytes:
                self._changed.wait(BATCH_WAIT_S)
            lines, size = list[bytes](), 0
            while self._queue and (not lines or size + len(self._queue[0]) <= self._max_batch_bytes):
                lines.append(self._queue.popleft())
                size += len(lines[-1])
            self._queued_bytes -= size
            return lines

    def _try_write(self, text: bytes, line_count: int) -> bool:
        try:
            self._write(text)
        except Exception:  # noqa: BLE001  # the thread's boundary: without the thread, every later line would be lost
            with self._changed:
                self.dropped += line_count
            return False
        return True

    def _report_loss(self) -> None:
        count = self.dropped - self._reported
        if count and self._try_write(self._describe_loss(count), 1):
            self._reported += count
