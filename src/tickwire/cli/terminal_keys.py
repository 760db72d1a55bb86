"""The keys that a person presses in a terminal."""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import os
import termios
import tty
from collections.abc import Callable
from typing import Any, Self

ESCAPE = "escape"
ENTER = "enter"
BACKSPACE = "backspace"
_SEQUENCES = {
    "\x1b[A": "up",
    "\x1b[B": "down",
    "\x1b[C": "right",
    "\x1b[D": "left",
    "\x1b[H": "home",
    "\x1b[F": "end",
    "\x1b[1~": "home",
    "\x1b[4~": "end",
    "\x1b[5~": "page up",
    "\x1b[6~": "page down",
}
# In application mode, a terminal sends the letter O in place of the character [ in these sequences.
_SEQUENCES |= {sequence.replace("[", "O"): key for sequence, key in _SEQUENCES.items()}
_CHARACTERS = {"\r": ENTER, "\n": ENTER, "\x7f": BACKSPACE, "\b": BACKSPACE}
# A slow connection can deliver the characters of one key separately. After this time, a lone escape character is the
# escape key.
_SEQUENCE_TIMEOUT_S = 0.1
_MAX_READ_BYTES = 1_024


class KeyDecoder:
    """Splits the characters of a terminal into keys. `on_key` receives a character or a name such as "page up"."""

    def __init__(self, on_key: Callable[[str], None]) -> None:
        self._on_key = on_key
        self._decoder = codecs.getincrementaldecoder("utf-8")("ignore")
        self._pending = ""

    @property
    def is_incomplete(self) -> bool:
        """Whether the newest characters may be the beginning of a key's escape sequence."""
        return bool(self._pending)

    def feed(self, data: bytes) -> None:
        for character in self._decoder.decode(data):
            self._add(character)

    def end_sequence(self) -> None:
        """Report an incomplete sequence as the escape key, because the rest of the sequence has not arrived."""
        if self._pending:
            self._pending = ""
            self._on_key(ESCAPE)

    def _add(self, character: str) -> None:
        if not self._pending and character != "\x1b":
            self._on_key(_CHARACTERS.get(character, character))
            return
        if self._pending == "\x1b" and character not in "[O":
            self.end_sequence()
            self._add(character)
            return
        self._pending += character
        # The last character of a sequence is a letter or a tilde.
        if len(self._pending) > 2 and (character.isalpha() or character == "~"):
            key, self._pending = _SEQUENCES.get(self._pending), ""
            if key is not None:
                self._on_key(key)


class KeyReader:
    """Calls `on_key` for each key that a person presses in the terminal, while the `with` block runs.

    The terminal does not show the keys, and Ctrl-C still raises KeyboardInterrupt. The reader does nothing if
    `descriptor` is not a terminal.
    """

    def __init__(self, descriptor: int, on_key: Callable[[str], None]) -> None:
        self._descriptor = descriptor
        self._decoder = KeyDecoder(on_key)
        self._loop = asyncio.get_running_loop()
        self._original_mode: list[Any] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        if os.isatty(self._descriptor):
            self._original_mode = termios.tcgetattr(self._descriptor)
            tty.setcbreak(self._descriptor)
            self._loop.add_reader(self._descriptor, self._read)

    def stop(self) -> None:
        """Restore the mode of the terminal. A second call does nothing."""
        mode, self._original_mode = self._original_mode, None
        if mode is not None:
            self._loop.remove_reader(self._descriptor)
            termios.tcsetattr(self._descriptor, termios.TCSADRAIN, mode)

    def _read(self) -> None:
        data = b""
        # Ignore errors, because a read fails if the terminal no longer exists.
        with contextlib.suppress(OSError):
            data = os.read(self._descriptor, _MAX_READ_BYTES)
        if not data:
            self._loop.remove_reader(self._descriptor)
        self._decoder.feed(data)
        if self._decoder.is_incomplete:
            self._loop.call_later(_SEQUENCE_TIMEOUT_S, self._decoder.end_sequence)
