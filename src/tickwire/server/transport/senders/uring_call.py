"""The send call with io_uring (Linux): one submission for all sockets, with ctypes and NumPy.

A ring consists of two queues in memory that the process shares with the kernel. The process writes submission queue
entries (SQEs), and one system call passes them to the kernel. The kernel writes completion queue entries (CQEs).
`linux/io_uring.h` defines the layout of the queues. io_uring_setup(2) and io_uring_enter(2) describe the calls.

Every send has the flag MSG_DONTWAIT, so the kernel completes it before io_uring_enter returns. `send` nevertheless
waits for each completion, because the kernel reads the memory of an incomplete send.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import platform
import socket
import sys
import weakref
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tickwire.server.transport.senders.send_call import (
    UNKNOWN,
    Addresses,
    Begins,
    Counts,
    Descriptors,
    Lengths,
    Pieces,
    Results,
    SendCallUnavailable,
)

_SYS_SETUP, _SYS_ENTER = 425, 426
# The architectures on which this module uses io_uring, because the system call numbers above are valid on all these
# architectures.
_ARCHITECTURES = frozenset({"x86_64", "aarch64", "riscv64", "ppc64le", "s390x"})
_SETUP_SUBMIT_ALL, _SETUP_COOP_TASKRUN, _SETUP_SINGLE_ISSUER = 1 << 7, 1 << 8, 1 << 12
_FEATURE_SINGLE_MMAP, _FEATURE_NODROP = 1 << 0, 1 << 1
_ENTER_GETEVENTS = 1
_OPCODE_SENDMSG, _OPCODE_SEND = 9, 26
_OFFSET_OF_SQES = 0x10000000
_SQE_BYTES, _CQE_BYTES = 64, 16
# The positions of fields in `struct io_sqring_offsets` and `struct io_cqring_offsets`, in units of 4 bytes.
_SQ_HEAD, _SQ_TAIL, _SQ_MASK, _SQ_ARRAY = 0, 1, 2, 6
_CQ_HEAD, _CQ_TAIL, _CQ_MASK, _CQ_CQES = 0, 1, 2, 5
# The number of submission queue entries in a ring, and the maximum number of sends per system call. A larger ring would
# not fit into the cache of a core.
_ENTRIES = 1024
# The maximum number of attempts if the kernel lacks memory for a moment. After these attempts, the process stops using
# the ring.
_MAX_ATTEMPTS = 100
_UINT32 = 0xFFFFFFFF

_SQE = np.dtype({
    "names": ["opcode", "fd", "address", "length", "msg_flags", "user_data"],
    "formats": ["u1", "i4", "u8", "u4", "u4", "u8"],
    "offsets": [0, 4, 16, 24, 28, 32],
    "itemsize": _SQE_BYTES,
})  # fmt: skip
# `struct msghdr` on systems with 64 bits.
_MESSAGE = np.dtype({
    "names": ["pieces", "piece_count"], "formats": ["u8", "u8"], "offsets": [16, 24], "itemsize": 56,
})  # fmt: skip
_CQE = np.dtype([("user_data", "u8"), ("result", "i4"), ("flags", "u4")])


class _Params(ctypes.Structure):
    """`struct io_uring_params`."""

    _fields_ = (
        ("sq_entries", ctypes.c_uint32),
        ("cq_entries", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("sq_thread_cpu", ctypes.c_uint32),
        ("sq_thread_idle", ctypes.c_uint32),
        ("features", ctypes.c_uint32),
        ("wq_fd", ctypes.c_uint32),
        ("reserved", ctypes.c_uint32 * 3),
        ("sq_offsets", ctypes.c_uint32 * 10),
        ("cq_offsets", ctypes.c_uint32 * 10),
    )


class _Queues:
    """Views of the two queues. The kernel writes `sq_head` and `cq_tail`, and the process writes all other fields."""

    def __init__(self, fd: int, params: _Params) -> None:
        sq, cq = params.sq_offsets, params.cq_offsets
        size = max(sq[_SQ_ARRAY] + 4 * params.sq_entries, cq[_CQ_CQES] + _CQE_BYTES * params.cq_entries)
        rings = np.frombuffer(_map(fd, size, 0), np.uint8)

        def view(offset: int, count: int = 1) -> NDArray[np.uint32]:
            return rings[offset : offset + 4 * count].view(np.uint32)

        self.sq_head, self.sq_tail = view(sq[_SQ_HEAD]), view(sq[_SQ_TAIL])
        self.cq_head, self.cq_tail = view(cq[_CQ_HEAD]), view(cq[_CQ_TAIL])
        self.sq_mask, self.cq_mask = int(view(sq[_SQ_MASK])[0]), int(view(cq[_CQ_MASK])[0])
        view(sq[_SQ_ARRAY], params.sq_entries)[:] = np.arange(params.sq_entries)
        self.cqes = rings[cq[_CQ_CQES] : cq[_CQ_CQES] + _CQE_BYTES * params.cq_entries].view(_CQE)
        sqes = np.frombuffer(_map(fd, _SQE_BYTES * params.sq_entries, _OFFSET_OF_SQES), _SQE)
        # Set the fields that never change. The user data of an SQE is the index of the SQE.
        sqes["msg_flags"] = socket.MSG_NOSIGNAL | socket.MSG_DONTWAIT
        sqes["user_data"] = np.arange(params.sq_entries)
        self.opcodes, self.fds, self.addresses, self.lengths = (
            sqes["opcode"], sqes["fd"], sqes["address"], sqes["length"],
        )  # fmt: skip


class UringCall:
    """Sends bytes to up to `entries` sockets with one submission.

    Only the thread that created the object may call it (SINGLE_ISSUER).
    """

    name = "uring"

    def __init__(self, entries: int = _ENTRIES) -> None:
        """Set up the ring. Raise SendCallUnavailable if the kernel has no io_uring or forbids it."""
        if sys.platform != "linux" or platform.machine() not in _ARCHITECTURES:
            raise SendCallUnavailable(f"io_uring is not available on {sys.platform} {platform.machine()}")
        self._syscall: Any = ctypes.CDLL(None, use_errno=True).syscall
        params = _Params(flags=_SETUP_SUBMIT_ALL | _SETUP_COOP_TASKRUN | _SETUP_SINGLE_ISSUER)
        self._fd: int = self._syscall(_SYS_SETUP, entries, ctypes.byref(params))
        if self._fd < 0:
            raise SendCallUnavailable(_explain_setup_error(ctypes.get_errno()))
        self._entries = params.sq_entries
        self._numbers = np.arange(self._entries)
        self._queues: _Queues | None = None
        try:
            if not params.features & _FEATURE_SINGLE_MMAP or not params.features & _FEATURE_NODROP:
                raise SendCallUnavailable("io_uring of this kernel is too old")
            self._queues = _Queues(self._fd, params)
        except OSError as error:
            raise SendCallUnavailable(f"the memory of io_uring cannot be mapped: {error.strerror}") from error
        finally:
            if self._queues is None:
                os.close(self._fd)
        _open_calls.add(self)

    @property
    def is_open(self) -> bool:
        """Whether the call can send: False after `close`, after an unexpected error, and in a forked process."""
        return self._queues is not None

    def send(self, fds: Descriptors, addresses: Addresses, lengths: Lengths) -> Results:
        """Send the bytes; see `SendCall.send`."""
        return self._send_all(_OPCODE_SEND, fds, addresses, lengths)

    def send_pieces(self, fds: Descriptors, pieces: Pieces, begins: Begins, counts: Counts) -> Results:
        """Send pieces of memory; see `SendCall.send_pieces`."""
        messages = np.zeros(len(fds), _MESSAGE)
        messages["pieces"] = pieces.ctypes.data + begins * pieces.itemsize
        messages["piece_count"] = counts
        addresses = messages.ctypes.data + np.arange(len(fds), dtype=np.uint64) * np.uint64(messages.itemsize)
        # The memory of the messages may be freed after this call, because the kernel copies the messages and the list
        # of pieces when it consumes the submission queue entries.
        return self._send_all(_OPCODE_SENDMSG, fds, addresses, np.ones(len(fds), np.uint32))

    def _send_all(self, opcode: int, fds: Descriptors, addresses: Addresses, lengths: Lengths) -> Results:
        results = np.full(len(fds), -errno.EAGAIN, np.int32)
        for begin in range(0, len(fds), self._entries):
            part = slice(begin, begin + self._entries)
            if self._queues is not None:
                self._send_part(self._queues, opcode, fds[part], addresses[part], lengths[part], results[part])
        return results

    def close(self) -> None:
        """Close the ring. A second call does nothing."""
        if self._queues is not None:
            self._queues = None
            os.close(self._fd)

    def _send_part(  # noqa: PLR0917  # the fields of an SQE, one array for each
        self,
        queues: _Queues,
        opcode: int,
        fds: Descriptors,
        addresses: Addresses,
        lengths: Lengths,
        results: Results,
    ) -> None:
        """Send at most `entries` bodies, and write their results to the array `results`. Each element of `results` must
        be -EAGAIN before the call."""
        count, tail, head = len(fds), int(queues.sq_tail[0]), int(queues.cq_head[0])
        begin = tail & queues.sq_mask
        # The queue is circular, so the SQEs may continue at its beginning.
        first = min(count, self._entries - begin)
        for sqes, part in ((slice(begin, begin + first), slice(first)), (slice(count - first), slice(first, count))):
            queues.opcodes[sqes] = opcode
            queues.fds[sqes], queues.addresses[sqes], queues.lengths[sqes] = fds[part], addresses[part], lengths[part]
        queues.sq_tail[0] = (tail + count) & _UINT32
        is_complete = self._submit_and_wait(queues, count, head)
        if not is_complete:
            # The kernel has consumed some of the submission queue entries, and may still read the memory to which they
            # refer. It will not consume the other entries.
            results[: (int(queues.sq_head[0]) - tail) & _UINT32] = UNKNOWN
        completed = (int(queues.cq_tail[0]) - head) & _UINT32
        cqes = queues.cqes[(head + self._numbers[:completed]) & queues.cq_mask]
        results[(cqes["user_data"].astype(np.int64) - tail) & queues.sq_mask] = cqes["result"]
        queues.cq_head[0] = (head + completed) & _UINT32
        if not is_complete:
            self.close()

    def _submit_and_wait(self, queues: _Queues, count: int, head: int) -> bool:
        """Pass `count` submission queue entries to the kernel, and wait for their completion.

        Return False after an unexpected error.

        `head` is the position of the first completion.
        """
        unsubmitted, attempts = count, 0
        while True:
            result = self._syscall(_SYS_ENTER, self._fd, unsubmitted, count, _ENTER_GETEVENTS, None, 0)
            if result >= 0:
                unsubmitted -= result
            elif ctypes.get_errno() not in (errno.EINTR, errno.EAGAIN, errno.EBUSY):
                return False
            if not unsubmitted and (int(queues.cq_tail[0]) - head) & _UINT32 == count:
                return True
            attempts += result <= 0
            if attempts > _MAX_ATTEMPTS:
                return False


_open_calls: weakref.WeakSet[UringCall] = weakref.WeakSet()


def _close_in_child() -> None:
    """Close the rings in a forked process, because it shares the memory of their queues with its parent."""
    for call in list(_open_calls):
        call.close()


os.register_at_fork(after_in_child=_close_in_child)


def _map(fd: int, size: int, offset: int) -> mmap.mmap:
    return mmap.mmap(fd, size, mmap.MAP_SHARED | mmap.MAP_POPULATE, mmap.PROT_READ | mmap.PROT_WRITE, offset=offset)


def _explain_setup_error(number: int) -> str:
    if number == errno.EPERM:
        return "io_uring is forbidden here, for example by the seccomp profile of a container"
    if number == errno.ENOSYS:
        return "this kernel has no io_uring"
    if number == errno.EINVAL:
        return "io_uring of this kernel is older than Linux 6.0"
    return f"io_uring cannot be set up: {os.strerror(number)}"
