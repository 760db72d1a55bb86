"""A sink in the test's hand, and what it was given, read."""

from __future__ import annotations

import re
import sys
import zlib
from typing import Any

from tickwire.core.codec import decode
from tickwire.hub.sink import Listener
from tickwire.sse.coding import IDENTITY, Coding

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_EVENT = re.compile(rb"(?:id: [a-z0-9]+-(\d+)\n)?(?:event: (\w+)\n)?data: (.*)\n\n")


class HandSink:
    """Keeps what it is given, and is full when told or after `room` writes."""

    framed = False

    def __init__(self) -> None:
        self.full = False
        self.room: int | None = None
        self.listener: Listener | None = None
        self.bytes = b""
        self._decoded = _Decoded()

    def write(self, body: bytes) -> None:
        """Take bytes."""
        self.bytes += body
        if self.room is not None:
            self.room -= 1
            if self.room <= 0 and not self.full:
                self.fill()

    def fill(self) -> None:
        """Have had enough."""
        self.full = True
        if self.listener is not None:
            self.listener.filled()

    def drain(self, room: int | None = None) -> None:
        """Have room again: for so many writes, or for all there will be."""
        self.room = room
        if self.full:
            self.full = False
            if self.listener is not None:
                self.listener.drained()

    def forget(self) -> None:
        """What was written has been received."""
        self.bytes = b""

    def events(self, coding: Coding = IDENTITY) -> list[tuple[int | None, str, dict[str, Any]]]:
        """The number, name and data of what was written and not forgotten; it must be whole events and no more."""
        text = self._decoded.take(self.bytes, coding)
        if b"".join(match.group() for match in _EVENT.finditer(text)) != text:
            raise ValueError(f"these are not events: {text!r}")
        return [
            (int(number) if number else None, (name or b"quote").decode(), decode(data, dict[str, Any]))
            for number, name, data in _EVENT.findall(text)
        ]


class _Decoded:
    """Undoes a coding, block after block; a reader's stream goes on where it was."""

    def __init__(self) -> None:
        self._inflate = zlib.decompressobj(wbits=-15)

    def take(self, data: bytes, coding: Coding) -> bytes:
        if coding.name == "gzip":
            return self._inflate.decompress(data)  # what was begun without its header is a raw stream
        return zstd.decompress(data) if coding.name == "zstd" and data else data
