"""The connection of a process to the owner of the journal. Reconnects after the owner has ended."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import msgspec

from tickwire.errors import JournalUnavailable
from tickwire.journal.shared.peers import GOODBYE_TOPIC
from tickwire.journal.unix.message_stream import MessageStream
from tickwire.journal.unix.messages import (
    FollowerMessage,
    Hello,
    OwnerMessage,
    OwnerState,
    OwnerWelcome,
    PeerMessage,
    Records,
    Reply,
    Request,
    Subscribe,
    Unsubscribe,
    decode_error,
    encode_message,
)
from tickwire.journal.unix.owner import STATE_INTERVAL_S
from tickwire.journal.unix.socket_file import short_address

_RECONNECT_INTERVAL_S = 0.02
# An owner that sends nothing for this time is suspended, or its event loop is blocked.
_SILENCE_TIMEOUT_S = 12 * STATE_INTERVAL_S

log = logging.getLogger("tickwire.journal")

PeerCallback = Callable[[PeerMessage], None]

_decoder = msgspec.msgpack.Decoder(OwnerMessage)


class OwnerLost(JournalUnavailable):
    """The connection to the owner ended before the owner answered a request."""


class RecordsListener(Protocol):
    """Receives the records and the state of the journal."""

    def create_hello(self) -> Hello:
        """Return the first message of a new connection."""
        ...

    def on_welcome(self, welcome: OwnerWelcome) -> None:
        """Handle the owner's answer to the Hello message of this process."""
        ...

    def on_records(self, records: Records) -> None:
        """Handle the next records."""
        ...

    def on_state(self, state: OwnerState) -> None:
        """Handle the state of the journal."""
        ...

    def on_failure(self, reason: str) -> None:
        """Handle the owner's report that this process cannot continue."""
        ...


class PeersOnly:
    """The listener of a process that receives no records.

    The owner itself is such a process: the owner uses its connection to itself only to exchange requests in the
    cluster.
    """

    def __init__(self, node: str) -> None:
        self._node = node

    def create_hello(self) -> Hello:
        """Return the first message of a new connection."""
        return Hello(self._node, wants_records=False)

    def on_welcome(self, welcome: OwnerWelcome) -> None:
        """Do nothing."""

    def on_records(self, records: Records) -> None:
        """Do nothing, because the owner sends no records to itself."""

    def on_state(self, state: OwnerState) -> None:
        """Do nothing."""

    def on_failure(self, reason: str) -> None:
        log.error("%s", reason)


class OwnerConnection:
    """Connects to the socket at `path`, and connects again whenever the connection ends. Run `run` in a task."""

    def __init__(self, path: Path, listener: RecordsListener) -> None:
        self._path = path
        self._listener = listener
        self._stream: MessageStream[OwnerMessage] | None = None
        self._connected = asyncio.Event()
        self._lost = asyncio.Event()
        self._owner_node = ""
        self._is_closed = False
        # The time, on the clock of the event loop, at which the last owner ended. None once the next owner has
        # answered.
        self._lost_at: float | None = None
        self._heard_at = 0.0
        self._last_id = 0
        self._replies: dict[int, asyncio.Future[msgspec.Raw]] = {}
        self._callbacks: dict[str, PeerCallback] = {}

    @property
    def owner(self) -> str:
        """A description of the owner, for error messages."""
        return f"the process that owns the journal ({self._path})"

    @property
    def is_connected(self) -> bool:
        """Whether the owner has accepted the connection."""
        return self._connected.is_set()

    @property
    def fault(self) -> str | None:
        """The reason why the owner cannot be reached, or None."""
        if not self.is_connected:
            return f"{self.owner} cannot be reached"
        if asyncio.get_running_loop().time() - self._heard_at > _SILENCE_TIMEOUT_S:
            return f"{self.owner} has not answered for {_SILENCE_TIMEOUT_S:g} s"
        return None

    async def wait_until_connected(self) -> None:
        """Wait until the owner has accepted the connection."""
        await self._connected.wait()

    async def run(self) -> None:
        """Keep the connection open until cancelled."""
        try:
            while True:
                with contextlib.suppress(OSError):
                    await self._connect()
                    await self._lost.wait()
                await asyncio.sleep(_RECONNECT_INTERVAL_S)
        finally:
            self.close()

    def close(self) -> None:
        """Disconnect. All requests in progress then fail."""
        self._is_closed = True
        if self._stream is not None:
            self._stream.close()
        self._on_lost()

    async def request(self, create: Callable[[int], Request], result_type: Any) -> Any:
        """Send a request, and return its result. `create` returns the request for a new id.

        Raise OwnerLost if the connection ends before the reply. If the owner replies with a JournalError, raise this
        error.
        """
        if self._stream is None or not self.is_connected:
            raise OwnerLost(f"{self.owner} cannot be reached")
        self._last_id += 1
        request = create(self._last_id)
        future = self._replies[request.id] = asyncio.get_running_loop().create_future()
        try:
            self._stream.send(encode_message(request))
            return msgspec.msgpack.decode(await future, type=result_type)
        finally:
            self._replies.pop(request.id, None)

    def send(self, message: FollowerMessage) -> None:
        """Send a message without a reply. Do nothing without a connection."""
        if self._stream is not None and self.is_connected:
            self._stream.send(encode_message(message))

    def subscribe(self, address: str, callback: PeerCallback) -> None:
        """Call `callback` for each message to an address, even after a reconnect."""
        self._callbacks[address] = callback
        self.send(Subscribe(address))

    def unsubscribe(self, address: str) -> None:
        """End the subscription that `subscribe` began."""
        self._callbacks.pop(address, None)
        self.send(Unsubscribe(address))

    async def _connect(self) -> None:
        self._lost.clear()
        with short_address(self._path) as address:
            _, self._stream = await asyncio.get_running_loop().create_unix_connection(
                lambda: MessageStream(_decoder, self._on_message, self._on_lost), address
            )
        self._stream.send(encode_message(self._listener.create_hello()))

    def _on_message(self, message: OwnerMessage) -> None:
        self._heard_at = asyncio.get_running_loop().time()
        match message:
            case Records():
                self._listener.on_records(message)
            case Reply():
                self._resolve(message)
            case PeerMessage(address):
                callback = self._callbacks.get(address)
                if callback is not None:
                    callback(message)
            case OwnerState():
                self._listener.on_state(message)
            case OwnerWelcome():
                self._on_welcome(message)
            case _:
                self._listener.on_failure(message.reason)

    def _on_welcome(self, welcome: OwnerWelcome) -> None:
        if self._lost_at is not None:
            waited_s = asyncio.get_running_loop().time() - self._lost_at
            log.info("the journal has an owner again after %.2f s", waited_s)
            self._lost_at = None
        self._owner_node = welcome.node
        self._connected.set()
        for address in self._callbacks:
            self.send(Subscribe(address))
        self._listener.on_welcome(welcome)

    def _resolve(self, reply: Reply) -> None:
        future = self._replies.get(reply.id)
        if future is None or future.done():
            # The caller was cancelled, so there is no receiver for the reply.
            return
        if reply.error is None:
            future.set_result(reply.result)
        else:
            future.set_exception(decode_error(reply.error))

    def _on_lost(self) -> None:
        if self.is_connected and not self._is_closed:
            log.warning("%s has ended: waiting for another process to open the journal", self.owner)
            self._lost_at = asyncio.get_running_loop().time()
        self._connected.clear()
        self._lost.set()
        callback = self._callbacks.get(GOODBYE_TOPIC)
        if self._owner_node and callback is not None:
            callback(PeerMessage(GOODBYE_TOPIC, self._owner_node.encode(), ""))
        self._owner_node = ""
        replies, self._replies = self._replies, {}
        for future in replies.values():
            if not future.done():
                future.set_exception(OwnerLost(f"{self.owner} ended before it answered"))
