"""The audit log: who changed something, a JSON line each, appended to a file."""

from __future__ import annotations

import logging
import os
import queue
import threading
from pathlib import Path
from typing import Any

from tickwire.core.codec import encode
from tickwire.errors import SettingsError
from tickwire.server.asgi import Scope

log = logging.getLogger(__name__)
_MOST_WAITING = 10_000  # lines, some 3 MB: a disk that stalls costs lines, with a count, not the server


class Audit:
    """Writes lines in a thread of its own: the loop never waits for the disk. `dropped` counts what it could not take.

    Each line is written by one append, so that it is whole whatever happens, and a program that rotates the file may
    move it away and send nothing: the file is looked up anew for each run of lines.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.dropped = 0
        self._lines: queue.Queue[bytes | None] = queue.Queue(_MOST_WAITING)
        self._write(b"")  # now, where an error can still stop the start
        self._thread = threading.Thread(target=self._run, name="audit", daemon=True)
        self._thread.start()

    def put(self, line: dict[str, Any]) -> None:
        """Append one line."""
        try:
            self._lines.put_nowait(encode(line) + b"\n")
        except queue.Full:
            self.dropped += 1

    def close(self) -> None:
        """Write what is waiting, and end."""
        self._lines.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (line := self._lines.get()) is not None:
            try:
                self._write(line)
            except SettingsError as error:
                self.dropped += 1
                log.error("%s", error)

    def _write(self, line: bytes) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                os.write(file, line)
            finally:
                os.close(file)
        except OSError as error:
            raise SettingsError(
                f"the audit log {self.path} cannot be written: {error.strerror}", field="audit"
            ) from None


def note(scope: Scope, **details: Any) -> None:
    """Say more about what a request did, for its line in the audit log."""
    scope["state"].setdefault("audit", {}).update(details)
