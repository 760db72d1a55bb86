"""The owner of a journal: the process that opens the journal, and serves the processes that follow the journal."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, assert_never

import msgspec

from tickwire.core.event import JournalRecord
from tickwire.errors import JournalError
from tickwire.journal.base import Journal, Snapshot
from tickwire.journal.shared.peers import GOODBYE_TOPIC
from tickwire.journal.unix.message_stream import MessageStream
from tickwire.journal.unix.messages import (
    PROTOCOL_VERSION,
    Append,
    Failure,
    FindSequenceBefore,
    FollowerMessage,
    Hello,
    LastKey,
    LoadSnapshot,
    OwnerState,
    OwnerWelcome,
    PeerMessage,
    Read,
    Records,
    Request,
    SaveSnapshot,
    Subscribe,
    Unsubscribe,
    encode_message,
    error_reply,
    result_reply,
)
from tickwire.journal.unix.peer_broker import PeerBroker
from tickwire.journal.unix.socket_file import open_listener

# The interval of the OwnerState messages. The owner checks its socket file at the same interval.
STATE_INTERVAL_S = 0.25
# The maximum number of a follower's requests in progress. If a follower has this many requests in progress, the owner
# reads no further requests of the follower until one request has ended.
_MAX_REQUESTS = 1_024
# The longest time that a closing owner waits for requests in progress.
_CLOSE_TIMEOUT_S = 2.0

log = logging.getLogger("tickwire.journal")

_decoder = msgspec.msgpack.Decoder(FollowerMessage)


class JournalOwner:
    """Accepts followers at the socket `path`, and executes their requests on `journal`."""

    def __init__(self, journal: Journal, path: Path, node: str) -> None:
        self.journal = journal
        self.node = node
        self.broker = PeerBroker()
        self.sessions: set[FollowerSession] = set()
        self._path = path
        self._server: asyncio.Server | None = None
        self._file_stat: os.stat_result | None = None
        self._newest_encoding: tuple[int, int, bytearray] = (0, 0, bytearray())

    async def listen(self) -> None:
        """Accept followers from now on. Raise JournalError if the socket cannot be opened."""
        old, listener = self._server, open_listener(self._path)
        self._file_stat = self._path.stat()
        self._server = await asyncio.get_running_loop().create_unix_server(self._create_stream, sock=listener)
        if old is not None:
            old.close()

    async def run(self) -> None:
        """Send the state of the journal to all followers until cancelled. Replace the socket file if it was removed."""
        while True:
            state = self.encode_state()
            for session in self.sessions:
                session.send_state(state)
            if not self._has_socket_file():
                log.warning("the socket %s was removed: creating the socket again", self._path)
                with contextlib.suppress(JournalError):
                    await self.listen()
            await asyncio.sleep(STATE_INTERVAL_S)

    async def close(self) -> None:
        """Answer the requests in progress. Then disconnect all followers, and remove the socket file."""
        if self._server is not None:
            self._server.close()
            if self._has_socket_file():
                self._path.unlink(missing_ok=True)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                await asyncio.gather(*(session.finish() for session in self.sessions))
        for session in [*self.sessions]:
            session.close()

    def encode_state(self) -> bytearray:
        """Return the message with the state of the journal."""
        return encode_message(OwnerState(self.journal.stats(), self.journal.unavailable_reason()))

    def encode_records(self, records: Sequence[JournalRecord]) -> bytearray:
        """Return the message with these records. For several followers, encode the same records only once."""
        first, last, data = self._newest_encoding
        if (first, last) != (records[0].first, records[-1].last):
            data = encode_message(Records([*records]))
            self._newest_encoding = (records[0].first, records[-1].last, data)
        return data

    def _create_stream(self) -> MessageStream[FollowerMessage]:
        return FollowerSession(self).stream

    def _has_socket_file(self) -> bool:
        with contextlib.suppress(OSError):
            return self._file_stat is not None and os.path.samestat(self._path.stat(), self._file_stat)
        return False


class FollowerSession:
    """The owner's side of the connection to one follower.

    A slow follower receives its records from the history of the journal, so the owner stores no records for this
    follower.
    """

    def __init__(self, owner: JournalOwner) -> None:
        self.stream = MessageStream(_decoder, self._on_message, self._on_lost)
        self._owner = owner
        self._journal = owner.journal
        self._node = ""
        self._records_task: asyncio.Task[None] | None = None
        self._request_tasks: set[asyncio.Task[None]] = set()
        # The owner holds this lock while it reads a long reply, so that it has at most one long reply per follower in
        # memory.
        self._reading = asyncio.Lock()

    @property
    def unsent_bytes(self) -> int:
        """The number of bytes that the follower has not read yet."""
        return self.stream.unsent_bytes

    def send(self, data: bytes | bytearray) -> None:
        self.stream.send(data)

    def send_state(self, state: bytearray) -> None:
        """Send the state of the journal. Skip the message if the follower has not read all earlier messages."""
        if not self.stream.unsent_bytes:
            self.stream.send(state)

    async def finish(self) -> None:
        """Stop reading requests, and wait until the requests in progress are answered."""
        self.stream.pause_reading()
        await asyncio.gather(*self._request_tasks, return_exceptions=True)

    def close(self) -> None:
        """Disconnect the follower after all unsent bytes have been sent."""
        self.stream.close()

    def _on_message(self, message: FollowerMessage) -> None:
        match message:
            case Hello():
                self._welcome(message)
            case Subscribe(address):
                self._owner.broker.subscribe(address, self)
            case Unsubscribe(address):
                self._owner.broker.unsubscribe(address, self)
            case PeerMessage():
                self._owner.broker.publish(message)
            case _:
                task = asyncio.create_task(self._answer(message))
                self._request_tasks.add(task)
                task.add_done_callback(self._on_answered)
                if len(self._request_tasks) == _MAX_REQUESTS:
                    self.stream.pause_reading()

    def _welcome(self, hello: Hello) -> None:
        if hello.version != PROTOCOL_VERSION:
            self._fail("the process that owns the journal runs another version of Tickwire: restart all processes")
            return
        self._node = hello.node
        self._owner.sessions.add(self)
        head = self._journal.head
        self.send(encode_message(OwnerWelcome(self._owner.node, self._journal.epoch, head)))
        self.send(self._owner.encode_state())
        if hello.wants_records:
            after = head if hello.after is None else hello.after
            self._records_task = asyncio.create_task(self._send_records(after))

    async def _send_records(self, after: int) -> None:
        try:
            async for records in self._journal.follow(after):
                self.send(self._owner.encode_records(records))
                await self.stream.wait_until_writable()
        except JournalError as error:
            self._fail(str(error))
        except Exception:
            # Catch all errors at this task boundary. The follower connects again.
            log.exception("cannot send records to a follower of the journal")
            self.stream.abort()

    def _fail(self, reason: str) -> None:
        self.send(encode_message(Failure(reason)))
        self.stream.close()

    async def _answer(self, request: Request) -> None:
        try:
            if isinstance(request, Append):
                reply = result_reply(request, await self._journal.append(request.entry))
            else:
                async with self._reading:
                    await self.stream.wait_until_writable()
                    reply = result_reply(request, await self._execute(request))
                    self.send(encode_message(reply))
                return
        except JournalError as error:
            reply = error_reply(request, error)
        except Exception as error:
            # Catch all errors at this task boundary, because the follower waits for a reply.
            log.exception("cannot answer a request of a follower of the journal")
            reply = error_reply(request, JournalError(f"the owner of the journal failed ({type(error).__name__})"))
        self.send(encode_message(reply))

    async def _execute(self, request: Read | FindSequenceBefore | LastKey | SaveSnapshot | LoadSnapshot) -> Any:
        match request:
            case Read(_, after, limit, kind):
                return await self._journal.read(after, limit=limit, kind=kind)
            case FindSequenceBefore(_, ts):
                return await self._journal.find_sequence_before(ts)
            case LastKey(_, source):
                return await self._journal.last_key(source)
            case SaveSnapshot(_, sequence, data):
                return await self._journal.save_snapshot(Snapshot(sequence, data))
            case LoadSnapshot(_, max_sequence):
                return await self._journal.load_snapshot(max_sequence)
            case _:
                assert_never(request)

    def _on_answered(self, task: asyncio.Task[None]) -> None:
        self._request_tasks.discard(task)
        if len(self._request_tasks) == _MAX_REQUESTS - 1:
            self.stream.resume_reading()

    def _on_lost(self) -> None:
        self._owner.sessions.discard(self)
        self._owner.broker.remove(self)
        if self._records_task is not None:
            self._records_task.cancel()
        if self._node:
            # Announce the exit of the process. If the process was killed, the kernel has closed its socket, so the
            # other processes are informed at once.
            self._owner.broker.publish(PeerMessage(GOODBYE_TOPIC, self._node.encode(), ""))
