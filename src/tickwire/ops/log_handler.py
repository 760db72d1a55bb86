"""The log of a server process: safe and bounded lines on standard error, written without blocking the event loop."""

from __future__ import annotations

import contextlib
import logging
import os
import select
from collections.abc import Iterator, Mapping
from typing import Any

from tickwire.core.codec import encode_json
from tickwire.ops.line_writer import LineWriter
from tickwire.ops.log_format import JsonFormatter, LineFormatter, LogFormat

# The maximum time to write the last lines when the process exits.
_CLOSE_TIMEOUT_S = 2.0


class QueuedLogHandler(logging.Handler):
    """Formats each record at once, and writes its line to a file descriptor in a thread.

    If no process reads the descriptor, the server continues. `dropped` counts the lost lines.
    """

    def __init__(self, descriptor: int, log_format: LogFormat = "console") -> None:
        super().__init__()
        self._lines = JsonFormatter() if log_format == "json" else LineFormatter()
        self.setFormatter(self._lines)
        self._descriptor = descriptor
        self._writer = LineWriter("log", self._write, self._describe_loss, batches=True)

    @property
    def dropped(self) -> int:
        """The number of lost log lines."""
        return self._writer.dropped

    def emit(self, record: logging.LogRecord) -> None:
        """Format a record, and queue its line."""
        try:
            self._writer.append(f"{self.format(record)}\n".encode(errors="replace"))
        except Exception as error:  # noqa: BLE001  # a handler never raises, because the caller cannot handle the error
            place = f"{record.pathname}, line {record.lineno}"
            self._writer.append(f"cannot format the log record of {place}: {type(error).__name__}\n".encode())

    def append_fields(self, level_name: str, logger_name: str, fields: Mapping[str, Any]) -> None:
        """Queue the log line of a request without creating a log record, which would take ten times as long."""
        line = self._lines.format_fields(level_name, logger_name, fields)
        self._writer.append(f"{line}\n".encode(errors="replace"))

    def close(self) -> None:
        """Write the queued lines. If no process reads the file descriptor, discard the lines."""
        self._writer.close(_CLOSE_TIMEOUT_S)
        super().close()

    def _write(self, line: bytes) -> None:
        view = memoryview(line)
        while view:
            try:
                view = view[os.write(self._descriptor, view) :]
            except BlockingIOError:
                # Wait until the descriptor accepts data. A shared terminal can be non-blocking, because another process
                # has changed its mode.
                select.select([], [self._descriptor], [])

    def _describe_loss(self, count: int) -> bytes:
        message = f"{count:,} log lines were lost, because the output of the log was blocked or failed"
        record = logging.LogRecord(__name__, logging.WARNING, __file__, 0, message, None, None)
        return f"{self.format(record)}\n".encode()


@contextlib.contextmanager
def running_log(level: str, descriptor: int, log_format: LogFormat = "console") -> Iterator[None]:
    """Write the log records of this process to a file descriptor until the `with` block ends."""
    root = logging.getLogger()
    handler, previous_level = QueuedLogHandler(descriptor, log_format), root.level
    root.addHandler(handler)
    root.setLevel(level.upper())
    # Do not look up the thread and the process for each line, because the log format contains neither.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    try:
        yield
    finally:
        root.setLevel(previous_level)
        root.removeHandler(handler)
        handler.close()


def log_fields(log: logging.Logger, level: int, fields: Mapping[str, Any]) -> None:
    """Log the fields of a request.

    If the log of the process is the only handler, create no log record of the standard library.

    The server logs every request. A log record would take a third of the time that the server needs to open a stream.
    """
    if not log.isEnabledFor(level):
        return
    root = logging.getLogger()
    handler = root.handlers[0] if len(root.handlers) == 1 else None
    if isinstance(handler, QueuedLogHandler) and not _has_own_handlers(log, root):
        handler.append_fields(logging.getLevelName(level), log.name, fields)
    else:
        log.log(level, "%s", encode_json(fields).decode(), extra={"fields": fields})


def _has_own_handlers(log: logging.Logger, root: logging.Logger) -> bool:
    """Whether a logger below the root logger has a handler or a filter, or does not propagate records."""
    current: logging.Logger | None = log
    while current is not None and current is not root:
        if current.handlers or current.filters or not current.propagate:
            return True
        current = current.parent
    return False


def dropped_log_lines() -> int:
    """Return the number of log lines that this process has lost."""
    return sum(handler.dropped for handler in logging.getLogger().handlers if isinstance(handler, QueuedLogHandler))
