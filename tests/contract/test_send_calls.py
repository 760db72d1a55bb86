"""The contract of a call that sends the bytes of many sockets.

Every byte either reaches its socket or is reported as unsent.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import random
import socket
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from tickwire.server.transport.senders.native_call import NativeCall
from tickwire.server.transport.senders.send_call import (
    IOVEC,
    UNKNOWN,
    SendCall,
    SendCallUnavailable,
    bytes_address,
    check_send_call,
)
from tickwire.server.transport.senders.uring_call import UringCall

# A ring of this size soon wraps around, and needs several submissions for many sockets.
ENTRIES = 8


@pytest.fixture(params=["uring", "native"])
def call(request: pytest.FixtureRequest) -> Iterator[SendCall]:
    try:
        opened: SendCall = UringCall(ENTRIES) if request.param == "uring" else NativeCall()
    except SendCallUnavailable as error:
        pytest.skip(str(error))
    yield opened
    opened.close()


@pytest.fixture
def ring() -> Iterator[UringCall]:
    try:
        opened = UringCall(ENTRIES)
    except SendCallUnavailable as error:
        pytest.skip(str(error))
    yield opened
    opened.close()


@contextlib.contextmanager
def socket_pairs(count: int) -> Iterator[list[tuple[socket.socket, socket.socket]]]:
    """Open pairs of sockets. The call sends on the first socket of each pair."""
    pairs = [socket.socketpair() for _ in range(count)]
    for _, far in pairs:
        far.setblocking(False)
    try:
        yield pairs
    finally:
        for near, far in pairs:
            near.close()
            far.close()


def send(call: SendCall, bodies: dict[socket.socket, bytes]) -> list[int]:
    return call.send(
        np.array([near.fileno() for near in bodies], np.int32),
        np.array([bytes_address(body) for body in bodies.values()], np.uint64),
        np.array([len(body) for body in bodies.values()], np.uint32),
    ).tolist()


def send_pieces(call: SendCall, bodies: dict[socket.socket, list[bytes]]) -> list[int]:
    pieces = [(bytes_address(piece), len(piece)) for body in bodies.values() for piece in body]
    counts = np.array([len(body) for body in bodies.values()], np.int32)
    return call.send_pieces(
        np.array([near.fileno() for near in bodies], np.int32),
        np.array(pieces, IOVEC),
        counts.cumsum(dtype=np.int64) - counts,
        counts,
    ).tolist()


def receive(far: socket.socket) -> bytes:
    """Return all bytes that have arrived."""
    parts = []
    with contextlib.suppress(BlockingIOError):
        while part := far.recv(1 << 20):
            parts.append(part)
    return b"".join(parts)


def test_the_call_passes_its_own_check(call: SendCall) -> None:
    check_send_call(call)


def test_every_byte_reaches_its_socket(call: SendCall) -> None:
    """Batches of random sizes go to random sockets, some of which are full. The call reports all unsent bytes."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    with socket_pairs(3 * ENTRIES) as pairs:
        for near, _ in pairs[::3]:
            near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        sent = dict.fromkeys(range(len(pairs)), b"")
        received = dict.fromkeys(range(len(pairs)), b"")
        for _ in range(200):
            numbers = rng.sample(range(len(pairs)), rng.randrange(1, len(pairs)))
            bodies = [rng.randbytes(rng.choice([1, 100, 5_000])) for _ in numbers]
            for number, body, result in zip(
                numbers,
                bodies,
                send(call, {pairs[number][0]: body for number, body in zip(numbers, bodies, strict=True)}),
                strict=True,
            ):
                assert result == -errno.EAGAIN or 0 < result <= len(body)
                sent[number] += body[: max(result, 0)]
            for number in rng.sample(range(len(pairs)), len(pairs) // 2):
                received[number] += receive(pairs[number][1])
        for number, (_, far) in enumerate(pairs):
            assert received[number] + receive(far) == sent[number]


def test_the_pieces_of_a_body_reach_their_socket_in_order(call: SendCall) -> None:
    """Calls with pieces alternate with calls without pieces, so the ring alternates between its two operations."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    with socket_pairs(3 * ENTRIES) as pairs:
        for near, _ in pairs[::4]:
            near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        for _ in range(20):
            chosen = rng.sample(pairs, rng.randint(1, len(pairs)))
            bodies = {
                near: [rng.randbytes(rng.choice([1, 300, 4_000])) for _ in range(rng.randint(1, 40))]
                for near, _ in chosen
            }
            joined = {near: b"".join(body) for near, body in bodies.items()}
            results = send_pieces(call, bodies) if rng.random() < 0.7 else send(call, joined)
            for (near, far), result in zip(chosen, results, strict=True):
                assert receive(far) == joined[near][: max(result, 0)]
                assert result > 0 or result == -errno.EAGAIN


def test_too_many_pieces_and_missing_pieces_are_reported(call: SendCall) -> None:
    with socket_pairs(2) as ((near, far), (other, other_far)):
        results = send_pieces(call, {near: [b"x"] * 2_000, other: [b"y"]})
        assert results[0] in (-errno.EMSGSIZE, -errno.EINVAL)
        assert (results[1], receive(far), receive(other_far)) == (1, b"", b"y")
        if isinstance(call, NativeCall):
            pieces = np.array([(bytes_address(b"z"), 1)], IOVEC)
            for begin, count in ((0, 2), (1, 1), (-1, 1), (0, -1), (2**62, 1)):
                places = np.array([begin], np.int64), np.array([count], np.int32)
                fds = np.array([near.fileno()], np.int32)
                assert call.send_pieces(fds, pieces, *places).tolist() == [-errno.EINVAL]
            assert receive(far) == b""


def test_a_closed_peer_and_a_closed_descriptor_are_reported(call: SendCall) -> None:
    with socket_pairs(3) as pairs:
        pairs[0][1].close()
        fds = [pairs[0][0].fileno(), pairs[1][0].fileno(), 10_000]
        body = b"body"
        results = call.send(
            np.array(fds, np.int32), np.full(3, bytes_address(body), np.uint64), np.full(3, len(body), np.uint32)
        )
        assert results.tolist() == [-errno.EPIPE, len(body), -errno.EBADF]
        assert receive(pairs[1][1]) == body


def test_a_closed_ring_sends_nothing(ring: UringCall) -> None:
    ring.close()
    ring.close()
    with socket_pairs(2) as pairs:
        assert send(ring, {near: b"body" for near, _ in pairs}) == [-errno.EAGAIN] * 2
        assert not ring.is_open
        assert [receive(far) for _, far in pairs] == [b"", b""]


def test_a_forked_process_does_not_disturb_the_ring(ring: UringCall) -> None:
    """A child process shares the memory of the ring, so a send in the child would change the queue of the parent."""
    with socket_pairs(2) as pairs:
        child = os.fork()
        if not child:
            results = send(ring, {pairs[0][0]: b"child"})
            os._exit(results != [-errno.EAGAIN])
        assert os.waitpid(child, 0)[1] == 0
        assert send(ring, {near: b"parent" for near, _ in pairs}) == [6, 6]
        assert [receive(far) for _, far in pairs] == [b"parent", b"parent"]


def interrupt(ring: UringCall, enter: Callable[..., int]) -> None:
    """Replace the system call of a ring with a function.

    The first argument of the function is the original system call.
    """
    original = ring._syscall
    ring._syscall = lambda *arguments: enter(original, *arguments)


def test_an_interrupted_or_partial_submission_continues(ring: UringCall) -> None:
    """The kernel may submit only some entries, or return early because of a signal."""
    calls = []

    def enter(original: Callable[..., int], *arguments: int) -> int:
        number, fd, unsubmitted, wanted, flags, *rest = arguments
        calls.append(unsubmitted)
        if len(calls) % 3 == 1:
            ctypes.set_errno(errno.EINTR)
            return -1
        if len(calls) % 3 == 2 and unsubmitted > 1:
            return original(number, fd, 1, 0, flags, *rest)
        return original(number, fd, unsubmitted, wanted, flags, *rest)

    interrupt(ring, enter)
    with socket_pairs(5) as pairs:
        for _ in range(5):
            assert send(ring, {near: b"body" for near, _ in pairs}) == [4] * 5
            assert [receive(far) for _, far in pairs] == [b"body"] * 5
    assert len(calls) >= 15


def test_an_unexpected_error_closes_the_ring_and_reports_what_is_unknown(ring: UringCall) -> None:
    """Bytes that the kernel has not accepted are reported as unsent.

    Operations without a reported result are unknown.
    """
    calls = []

    def enter(original: Callable[..., int], *arguments: int) -> int:
        number, fd, _, _, flags, *rest = arguments
        calls.append(number)
        if len(calls) == 1:
            submitted = original(number, fd, 2, 0, flags, *rest)
            # Hide the second completion, as if it were late.
            assert ring._queues is not None
            ring._queues.cq_tail = ring._queues.cq_tail.copy()
            ring._queues.cq_tail[0] -= 1
            return submitted
        ctypes.set_errno(errno.EBADF)
        return -1

    interrupt(ring, enter)
    with socket_pairs(4) as pairs:
        results = send(ring, {near: b"body" for near, _ in pairs})
        assert results == [4, UNKNOWN, -errno.EAGAIN, -errno.EAGAIN]
        assert [receive(far) for _, far in pairs][2:] == [b"", b""]
    assert not ring.is_open


def test_a_library_that_does_not_exist_is_an_error(tmp_path) -> None:
    with pytest.raises(SendCallUnavailable, match=r"send_loop\.so was not compiled: install a C compiler"):
        NativeCall(tmp_path / "send_loop.so")
    (tmp_path / "send_loop.so").write_bytes(b"no library")
    with pytest.raises(SendCallUnavailable, match="cannot load send_loop"):
        NativeCall(tmp_path / "send_loop.so")
