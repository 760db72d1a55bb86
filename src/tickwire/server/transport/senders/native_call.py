"""The send call in C: one call of a C function sends to all sockets.

The function calls send(2) or sendmsg(2) for each socket.
"""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np

from tickwire.core.native_library import NativeLibraryUnavailable, Signatures, load_library
from tickwire.server.transport.senders.send_call import (
    Addresses,
    Begins,
    Counts,
    Descriptors,
    Lengths,
    Pieces,
    Results,
    SendCallUnavailable,
)

LIBRARY_FILE = Path(__file__).with_name("send_loop.so")
"""The compiled `send_loop.c`. `hatch_build.py` compiles it if the machine has a C compiler."""


_ARRAY, _SIZE, _COUNT = ctypes.c_void_p, ctypes.c_int64, ctypes.c_int32
_FUNCTIONS: Signatures = {
    "tickwire_send": ([_ARRAY, _ARRAY, _ARRAY, _ARRAY, _COUNT], None),
    "tickwire_send_pieces": ([_ARRAY, _ARRAY, _SIZE, _ARRAY, _ARRAY, _ARRAY, _COUNT], None),
    "tickwire_build_chunks": (
        [_ARRAY, _ARRAY, _ARRAY, _SIZE, _ARRAY, _SIZE, _COUNT, _ARRAY, _ARRAY, _ARRAY, _ARRAY, _ARRAY, _ARRAY],
        _SIZE,
    ),
}


def load_send_library(library: Path = LIBRARY_FILE) -> ctypes.CDLL:
    """Load the compiled `send_loop.c`. Raise SendCallUnavailable if the library cannot be loaded."""
    try:
        return load_library(library, _FUNCTIONS)
    except NativeLibraryUnavailable as error:
        raise SendCallUnavailable(str(error)) from error


class NativeCall:
    """Sends with the C functions. Python releases the interpreter lock during the call."""

    name = "native"

    def __init__(self, library: Path = LIBRARY_FILE) -> None:
        """Load the library. Raise SendCallUnavailable if it does not exist or does not fit the machine."""
        functions = load_send_library(library)
        self._send, self._send_pieces = functions.tickwire_send, functions.tickwire_send_pieces

    is_open = True

    def send(self, fds: Descriptors, addresses: Addresses, lengths: Lengths) -> Results:
        """Send the bytes; see `SendCall.send`."""
        results = np.empty(len(fds), np.int32)
        self._send(fds.ctypes.data, addresses.ctypes.data, lengths.ctypes.data, results.ctypes.data, len(fds))
        return results

    def send_pieces(self, fds: Descriptors, pieces: Pieces, begins: Begins, counts: Counts) -> Results:
        """Send pieces of memory; see `SendCall.send_pieces`."""
        results = np.empty(len(fds), np.int32)
        self._send_pieces(
            fds.ctypes.data, pieces.ctypes.data, len(pieces), begins.ctypes.data, counts.ctypes.data,
            results.ctypes.data, len(fds),
        )  # fmt: skip
        return results

    def close(self) -> None:
        """Do nothing, because the library stays loaded until the process ends."""
