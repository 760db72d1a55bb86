"""Coordinates the processes that share a journal.

The process that holds the lease runs the feed. Each process can send a request to all processes.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import NamedTuple, Protocol

import msgspec

from tickwire.core.codec import decode_json, encode_json
from tickwire.errors import InputError

PeerRequestHandler = Callable[[bytes], Awaitable[bytes | None]]
"""Returns the reply to a request, or None for no reply. If the handler raises InputError, the requester raises the same
InputError."""


class PeerReplies(NamedTuple):
    """The replies of all processes to a request.

    `missing` contains the names of the processes that did not reply. Some of these processes may have ended. `silent`
    contains the names of the processes that replied without data, because they have no handler or their handler failed.
    """

    replies: Sequence[bytes]
    missing: Collection[str] = ()
    silent: Collection[str] = ()

    @property
    def missing_count(self) -> int:
        """The number of processes that did not reply."""
        return len(self.missing)


def new_node_name() -> str:
    """Return a new name for this process in the cluster. The name begins with the name of the machine."""
    return f"{socket.gethostname()}-{secrets.token_hex(4)}"


class Lease(Protocol):
    """The right to run the feed. At most one process holds the lease, unless clocks or networks fail.

    After such a failure, two processes may believe that they hold the lease. The journal must then accept the ticks of
    only one process. So each process begins a new term when it starts to run the feed, and appends its entries with the
    number of this term. The journal rejects entries with an older term (see `JournalEntry`).
    """

    @property
    def is_held(self) -> bool:
        """Whether this process holds the lease."""
        ...

    async def wait_until_held(self) -> None:
        """Wait until this process holds the lease."""
        ...

    async def wait_until_lost(self) -> None:
        """Wait until this process does not hold the lease."""
        ...


class Peers(Protocol):
    """All processes of the cluster, including the current process."""

    @property
    def node(self) -> str:
        """The name of the current process in the cluster."""
        ...

    @property
    def count(self) -> int:
        """The number of live processes in the cluster, including the current process."""
        ...

    def register_handler(self, topic: str, handler: PeerRequestHandler) -> None:
        """Answer all requests for `topic` with `handler`."""
        ...

    async def request_all(self, topic: str, data: bytes = b"") -> PeerReplies:
        """Send a request to all processes, and return their replies.

        A process that does not reply in time counts as missing. Later requests do not wait for this process.
        """
        ...


class Cluster(NamedTuple):
    """The lease to run the feed, and the processes that share a journal (peers).

    `is_shared` is True if other processes can open the journal.
    """

    lease: Lease
    peers: Peers
    is_shared: bool = True


class InputErrorPayload(msgspec.Struct, frozen=True):
    """The JSON form of an InputError.

    A process that receives an invalid request from another process replies with this JSON.
    """

    message: str
    field: str | None
    hint: str | None


def encode_input_error(error: InputError) -> bytes:
    """Return the JSON form of an error."""
    return encode_json(InputErrorPayload(str(error), error.field, error.hint))


def decode_input_error(data: bytes) -> InputError:
    """Decode the result of `encode_input_error`, and return the error."""
    payload = decode_json(data, InputErrorPayload)
    return InputError(payload.message, field=payload.field, hint=payload.hint)


class LocalLease:
    """The lease of a journal that only this process can open. This process always holds the lease."""

    is_held = True

    async def wait_until_held(self) -> None:
        return

    async def wait_until_lost(self) -> None:
        await asyncio.get_running_loop().create_future()


class NoLease:
    """The lease of a process that must not run the feed. Such a process never holds the lease."""

    is_held = False

    async def wait_until_held(self) -> None:
        await asyncio.get_running_loop().create_future()

    async def wait_until_lost(self) -> None:
        return


class LocalPeers:
    """The Peers of a cluster with only one process. This process answers its own requests."""

    count = 1

    def __init__(self) -> None:
        self.node = new_node_name()
        self._handlers: dict[str, PeerRequestHandler] = {}

    def register_handler(self, topic: str, handler: PeerRequestHandler) -> None:
        """Answer all requests for `topic` with `handler`."""
        self._handlers[topic] = handler

    async def request_all(self, topic: str, data: bytes = b"") -> PeerReplies:
        """Return the reply of this process, the only process of the cluster."""
        handler = self._handlers.get(topic)
        reply = None if handler is None else await handler(data)
        return PeerReplies([] if reply is None else [reply])


def single_process_cluster() -> Cluster:
    """Return the cluster of a journal that only this process can open."""
    return Cluster(LocalLease(), LocalPeers(), is_shared=False)
