"""Sends requests to all processes that share a journal, by publish and subscribe. The server stores no messages.

Each process sends a heartbeat every second, and announces its exit. So a process that sends a request knows how many
replies to expect, and how many replies are missing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Literal, Protocol

import msgspec

from tickwire.errors import InputError, JournalError
from tickwire.journal.cluster import PeerReplies, PeerRequestHandler, decode_input_error, encode_input_error
from tickwire.journal.shared.membership import Membership

_HEARTBEAT_INTERVAL_S = 1.0
_REPLY_TIMEOUT_S = 1.5
# The size of the parts of a reply. A reply is sent in parts, because it may exceed the size limit of a message.
_MAX_CHUNK_BYTES = 256 * 1024

GOODBYE_TOPIC = "gone"
"""The topic on which a process announces its exit. The data of the message is the name of the process."""

log = logging.getLogger("tickwire.journal")

ChannelCallback = Callable[[bytes, str], Awaitable[None]]
"""A function that receives the data of a message, and the address for replies ("" if the sender expects no reply)."""

Unsubscribe = Callable[[], Awaitable[None]]


class PeerChannel(Protocol):
    """Sends messages between the processes that share a journal, by publish and subscribe.

    A method raises JournalError if it fails.
    """

    @property
    def server(self) -> str:
        """The kind and address of the server, for error messages."""
        ...

    @property
    def is_connected(self) -> bool:
        """Whether the connection is up. A broken connection counts as up until this process detects the failure."""
        ...

    @property
    def max_message_bytes(self) -> int:
        """The largest size of a message that the server accepts, in bytes."""
        ...

    @property
    def limit_setting(self) -> str:
        """The name of the server setting that determines `max_message_bytes`, for error messages."""
        ...

    def topic_address(self, topic: str) -> str:
        """Return the address of a topic. All processes that share the journal use the same address."""
        ...

    def create_inbox(self) -> str:
        """Return a new address for replies."""
        ...

    async def publish(self, address: str, data: bytes, *, reply_to: str = "") -> None:
        """Send a message to the subscribers of an address."""
        ...

    async def subscribe(self, address: str, callback: ChannelCallback) -> Unsubscribe:
        """Call `callback` for each message to an address, until the returned function is called."""
        ...


class _PeerRequest(msgspec.Struct, frozen=True, array_like=True):
    node: str
    topic: str
    data: bytes


class _ReplyChunk(msgspec.Struct, frozen=True, array_like=True):
    node: str
    index: int
    count: int
    # The outcome "said" means that the handler returned data. The outcome "refused" means that the handler raised
    # InputError. The outcome "silent" means any other result.
    outcome: Literal["said", "silent", "refused"]
    data: bytes


class _ReplyCollector:
    """Collects the chunks of all replies to one request."""

    def __init__(self) -> None:
        self._chunks_by_node: dict[str, dict[int, _ReplyChunk]] = {}
        self.chunk_arrived = asyncio.Event()

    async def add_chunk(self, data: bytes, _reply_to: str) -> None:
        with contextlib.suppress(msgspec.DecodeError):
            chunk = msgspec.msgpack.decode(data, type=_ReplyChunk)
            self._chunks_by_node.setdefault(chunk.node, {})[chunk.index] = chunk
            self.chunk_arrived.set()

    def complete_replies(self) -> dict[str, list[_ReplyChunk]]:
        """Return the complete replies. Each key is the name of the process that sent the reply.

        Each reply is a list of its chunks in the right order.
        """
        return {
            node: [chunks[index] for index in sorted(chunks)]
            for node, chunks in self._chunks_by_node.items()
            if len(chunks) == next(iter(chunks.values())).count
        }


class SharedPeers:
    """Exchanges requests and replies with the processes that share a journal.

    `run` announces this process and answers requests.
    """

    def __init__(self, channel: PeerChannel, node: str) -> None:
        self._channel = channel
        self.node = node
        self._handlers: dict[str, PeerRequestHandler] = {}
        self._membership = Membership()
        self._reply_tasks: set[asyncio.Task[None]] = set()

    @property
    def count(self) -> int:
        """The number of processes in the cluster, including the current process.

        Other processes count only if they have sent a heartbeat recently.
        """
        return 1 + len(self._membership.live_members(_loop_time()))

    def register_handler(self, topic: str, handler: PeerRequestHandler) -> None:
        """Answer all requests for `topic` with `handler`."""
        self._handlers[topic] = handler

    async def request_all(self, topic: str, data: bytes = b"") -> PeerReplies:
        """Send a request to all processes, and return their replies.

        A process that does not reply in time counts as missing. Later requests wait for this process again only after
        its next heartbeat. Raise InputError if a process rejects the request, or if the request is too large.
        """
        handler = self._handlers.get(topic)
        own_reply = None if handler is None else await handler(data)
        possible = self._membership.possible_members(_loop_time())
        try:
            others = await self._request_others(topic, data)
        except JournalError:
            # Ask no other process, because there is no connection.
            others = {}
        own_replies = [] if own_reply is None else [own_reply]
        silent = {node for node, chunks in others.items() if chunks[0].outcome == "silent"}
        return PeerReplies([*own_replies, *_decode_replies(others)], possible - others.keys(), silent)

    async def run(self) -> None:
        """Send heartbeats and answer requests until cancelled, then announce the exit of this process."""
        address = self._channel.topic_address
        await self._channel.subscribe(address(GOODBYE_TOPIC), self._on_goodbye)
        stop_heartbeats = await self._channel.subscribe(address("here"), self._on_heartbeat)
        await self._channel.subscribe(address("ask"), self._on_request)
        try:
            while True:
                await self._announce("here")
                await asyncio.sleep(_HEARTBEAT_INTERVAL_S)
        finally:
            # Ignore heartbeats of other processes from now on. Otherwise, this process could announce its exit, and
            # then still answer the first heartbeat of a new process.
            await _suppress_errors(stop_heartbeats())
            await self._announce(GOODBYE_TOPIC)

    async def _announce(self, topic: str) -> None:
        # Send nothing without a connection. Otherwise the client library would send the message after a reconnect, when
        # the message may be outdated.
        if self._channel.is_connected:
            with contextlib.suppress(JournalError):
                await self._channel.publish(self._channel.topic_address(topic), self.node.encode())

    async def _request_others(self, topic: str, data: bytes) -> dict[str, list[_ReplyChunk]]:
        requested_at = _loop_time()
        expected = self._membership.responsive_members(requested_at)
        if not expected or not self._channel.is_connected:
            return {}
        request = msgspec.msgpack.encode(_PeerRequest(self.node, topic, data))
        if len(request) > self._channel.max_message_bytes:
            raise self._too_large_error(len(data))
        collector, inbox = _ReplyCollector(), self._channel.create_inbox()
        unsubscribe = await self._channel.subscribe(inbox, collector.add_chunk)
        try:
            await self._channel.publish(self._channel.topic_address("ask"), request, reply_to=inbox)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_REPLY_TIMEOUT_S):
                    while expected - collector.complete_replies().keys():
                        collector.chunk_arrived.clear()
                        await collector.chunk_arrived.wait()
        finally:
            await _suppress_errors(unsubscribe())
        replies = collector.complete_replies()
        self._membership.mark_unresponsive(expected - replies.keys(), requested_at)
        return replies

    def _too_large_error(self, size: int) -> InputError:
        return InputError(
            f"a request of {size} bytes exceeds the message limit of {self._channel.server} "
            f"({self._channel.limit_setting} is {self._channel.max_message_bytes} bytes)",
            hint="send the request directly to the process that must handle it",
        )

    async def _on_heartbeat(self, data: bytes, _reply_to: str) -> None:
        node = data.decode(errors="replace")
        if node != self.node and self._membership.record_heartbeat(node, _loop_time()):
            # Send a heartbeat to the new process now, instead of waiting for the next regular heartbeat.
            await self._announce("here")

    async def _on_goodbye(self, data: bytes, _reply_to: str) -> None:
        self._membership.remove(data.decode(errors="replace"))

    async def _on_request(self, data: bytes, reply_to: str) -> None:
        with contextlib.suppress(msgspec.DecodeError):
            request = msgspec.msgpack.decode(data, type=_PeerRequest)
            if request.node != self.node and reply_to:
                task = asyncio.create_task(self._send_reply(request, reply_to))
                self._reply_tasks.add(task)
                task.add_done_callback(self._reply_tasks.discard)

    async def _send_reply(self, request: _PeerRequest, inbox: str) -> None:
        outcome, data = await self._run_handler(request)
        parts = [data[start : start + _MAX_CHUNK_BYTES] for start in range(0, len(data), _MAX_CHUNK_BYTES)] or [b""]
        with contextlib.suppress(JournalError):
            for index, part in enumerate(parts):
                chunk = _ReplyChunk(self.node, index, len(parts), outcome, part)
                await self._channel.publish(inbox, msgspec.msgpack.encode(chunk))

    async def _run_handler(self, request: _PeerRequest) -> tuple[Literal["said", "silent", "refused"], bytes]:
        handler = self._handlers.get(request.topic)
        try:
            reply = None if handler is None else await handler(request.data)
        except InputError as error:
            return "refused", encode_input_error(error)
        except Exception:
            # Catch all errors at this task boundary. The requester continues without this reply.
            log.exception("cannot answer a request of another process (topic: %s)", request.topic)
            return "silent", b""
        return ("silent", b"") if reply is None else ("said", reply)


def _decode_replies(chunks_by_node: dict[str, list[_ReplyChunk]]) -> list[bytes]:
    replies = []
    for chunks in chunks_by_node.values():
        data = b"".join(chunk.data for chunk in chunks)
        if chunks[0].outcome == "refused":
            raise decode_input_error(data)
        if chunks[0].outcome == "said":
            replies.append(data)
    return replies


def _loop_time() -> float:
    return asyncio.get_running_loop().time()


async def _suppress_errors(awaitable: Awaitable[None]) -> None:
    # Ignore errors. If the connection is lost, the subscription has already ended.
    with contextlib.suppress(Exception):
        await awaitable
