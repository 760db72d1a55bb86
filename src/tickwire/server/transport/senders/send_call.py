"""The interface of a send call, which sends the bytes of many sockets with one call, and a test of send calls."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

Descriptors: TypeAlias = NDArray[np.int32]
Addresses: TypeAlias = NDArray[np.uint64]
Lengths: TypeAlias = NDArray[np.uint32]
Results: TypeAlias = NDArray[np.int32]
Begins: TypeAlias = NDArray[np.int64]
Counts: TypeAlias = NDArray[np.int32]
Pieces: TypeAlias = NDArray[np.void]

IOVEC = np.dtype([("address", np.uintp), ("length", np.uintp)])
"""`struct iovec`: a piece of memory."""

UNKNOWN = -(2**31)
"""The result of a send for which the kernel reported no result. The number of sent bytes is unknown."""

# The distance in bytes from the address of a `bytes` object to its characters. In CPython, `id` returns the address of
# the object. The characters and a terminating zero byte are at the end of the object. `check_send_call` verifies this.
_CHARACTERS_OFFSET = bytes.__basicsize__ - 1


class SendCallUnavailable(Exception):
    """This process cannot use the send call. The message contains the reason."""


class SendCall(Protocol):
    """Sends bytes to many sockets in one call, and never waits for a socket."""

    @property
    def name(self) -> str:
        """The value of the setting `sender` that selects this call."""
        ...

    @property
    def is_open(self) -> bool:
        """Whether the call can send: False after `close`, and after an unexpected error."""
        ...

    def send(self, fds: Descriptors, addresses: Addresses, lengths: Lengths) -> Results:
        """Send `lengths[i]` bytes at `addresses[i]` to descriptor `fds[i]`, for each i. The arrays are contiguous.

        For each i, return the number of accepted bytes, a negative errno if the socket accepted none, or UNKNOWN. No
        descriptor may occur twice. When the call returns, the kernel no longer reads the memory at the addresses,
        unless the result is UNKNOWN.
        """
        ...

    def send_pieces(self, fds: Descriptors, pieces: Pieces, begins: Begins, counts: Counts) -> Results:
        """Send the pieces `pieces[begins[i] : begins[i] + counts[i]]` to descriptor `fds[i]`, for each i.

        `pieces` has the type IOVEC. The result has the same meaning as the result of `send`. A socket accepts nothing
        if its count exceeds the limit of the system (IOV_MAX, 1,024 on Linux).
        """
        ...

    def close(self) -> None:
        """Release the resources of the call. A second call does nothing."""
        ...


def bytes_address(body: bytes) -> int:
    """Return the address of the characters of a bytes object. The object must stay alive while the address is used."""
    return id(body) + _CHARACTERS_OFFSET


def bytes_addresses(bodies: Sequence[bytes]) -> Addresses:
    """Return the address of the characters of each bytes object (see `bytes_address`)."""
    return np.fromiter(map(id, bodies), np.uint64, len(bodies)) + np.uint64(_CHARACTERS_OFFSET)


def check_send_call(call: SendCall) -> None:
    """Test a send call with bytes that it sends through socket pairs.

    Raise SendCallUnavailable if the received bytes differ.
    """
    bodies = [b"first", b"second " * 100]
    pairs = [socket.socketpair() for _ in bodies]
    try:
        results = call.send(
            np.array([near.fileno() for near, _ in pairs], np.int32),
            bytes_addresses(bodies),
            np.array([len(body) for body in bodies], np.uint32),
        )
        _check_received(bodies, results, [far for _, far in pairs])
        results = call.send_pieces(
            np.array([near.fileno() for near, _ in pairs], np.int32),
            np.array([(bytes_address(body), len(body)) for body in (*bodies, bodies[0])], IOVEC),
            np.array([0, 1], np.int64),
            np.array([1, 2], np.int32),
        )
        _check_received([bodies[0], bodies[1] + bodies[0]], results, [far for _, far in pairs])
    except OSError as error:
        raise SendCallUnavailable(f"a test through a socket pair failed: {error.strerror}") from error
    finally:
        for near, far in pairs:
            near.close()
            far.close()


def _check_received(bodies: Sequence[bytes], results: Results, receivers: Sequence[socket.socket]) -> None:
    for body, result, receiver in zip(bodies, results.tolist(), receivers, strict=True):
        if result != len(body) or receiver.recv(2 * len(body), socket.MSG_DONTWAIT) != body:
            raise SendCallUnavailable(f"a test through a socket pair received wrong bytes (result {result})")
