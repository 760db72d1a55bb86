"""A shared log in a JetStream stream. The number of a message in the log is its sequence number in the stream."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Callable, Sequence
from hashlib import blake2b

from nats.aio.msg import Msg

from tickwire.errors import JournalError
from tickwire.journal.nats.connection import JetStreamError, NatsConnection, is_not_found
from tickwire.journal.nats.consumer import StreamConsumer
from tickwire.journal.nats.fetch import fetch_messages, read_message
from tickwire.journal.nats.message_headers import message_headers
from tickwire.journal.nats.stream import read_stream_info, unkeyed_subject
from tickwire.journal.shared.log import LogMessage, LogState, MessageCallback, SendOnce, StoredMessage

# JetStream's error codes that a retry can fix: the expected sequence was wrong, or a leader election takes place.
_TRANSIENT_CODES = {10071, 10008, 10009, 10076, 10118}


class NatsLog:
    """A SharedLog whose messages are in the JetStream stream of a journal.

    `epoch` is the epoch of the journal (see `Journal.epoch`). A stream that was lost and created again has another
    epoch.
    """

    limit_setting = "max_payload"

    def __init__(self, connection: NatsConnection, epoch: str) -> None:
        self._connection = connection
        self._stream = connection.address.journal_name
        self._epoch = epoch

    @property
    def server(self) -> str:
        """The URLs of the NATS servers, for log and error messages."""
        return self._connection.server

    @property
    def fault(self) -> str | None:
        """The reason why the connection is down; see `SharedLog.fault`."""
        return self._connection.fault

    @property
    def max_message_bytes(self) -> int:
        """The largest size of a message that the server accepts, in bytes."""
        return self._connection.max_payload

    def on_reconnect(self, callback: Callable[[], None]) -> None:
        """Call `callback` after each reconnect."""
        self._connection.reconnect_callbacks.append(callback)

    def create_consumer(self, position: int, deliver: MessageCallback) -> StreamConsumer:
        """Return a consumer that delivers the messages after the message with the number `position`."""
        return StreamConsumer(self._connection, self._epoch, position, deliver)

    @contextlib.asynccontextmanager
    async def publication(self, message: LogMessage, reject: Callable[[JournalError], None]) -> AsyncIterator[SendOnce]:
        """Prepare to send a message. Yield a function that sends the message.

        Each further call sends the message again.

        If JetStream answers with a permanent error, this context manager calls `reject` with the error.
        """
        subject = self._message_subject(message)
        headers = message_headers(message)
        inbox = self._connection.new_inbox()

        async def send() -> None:
            await self._connection.publish(subject, message.data, reply=inbox, headers=headers)

        async def on_answer(answer: Msg) -> None:
            # Ignore an answer with a status header: no server received the message, so the writer will send it again.
            if not (answer.headers and answer.headers.get("Status")):
                self._report_rejection(answer.data, reject)

        subscription = await self._connection.subscribe(inbox, on_answer)
        try:
            yield send
        finally:
            await subscription.unsubscribe()

    async def read_state(self) -> LogState:
        """Return the numbers of the stream's first and last message, the message count, and the stream's size."""
        state = (await read_stream_info(self._connection, self._stream))["state"]
        return LogState(state["first_seq"], state["last_seq"], state["messages"], state["bytes"])

    async def read_message(self, number: int) -> bytes:
        """Return the data of one message. Raise JetStreamError if the message does not exist."""
        return (await read_message(self._connection, self._stream, {"seq": number})).data

    async def read_messages(self, first: int, last: int) -> Sequence[StoredMessage]:
        """Return the messages with the numbers from `first` to `last`, in order, except deleted messages."""
        return await fetch_messages(self._connection, self._stream, first, count=last - first + 1, last=last)

    async def find_newest(self, source: str, key: str | None = None) -> StoredMessage | None:
        """Return the newest message of `source` that has a key; see `SharedLog.find_newest`."""
        subject = self._key_subject(source, "*" if key is None else _subject_token(key))
        try:
            return await read_message(self._connection, self._stream, {"last_by_subj": subject})
        except JetStreamError as error:
            if is_not_found(error):
                return None
            raise

    async def delete_before(self, number: int) -> None:
        """Delete all messages with a smaller number than `number`."""
        await self._connection.call_api(f"STREAM.PURGE.{self._stream}", {"seq": number})

    async def close(self) -> None:
        """Disconnect. A second call does nothing."""
        await self._connection.close()

    def _message_subject(self, message: LogMessage) -> str:
        if message.key is None:
            return unkeyed_subject(self._connection.address)
        return self._key_subject(message.source, _subject_token(message.key))

    def _key_subject(self, source: str, key_token: str) -> str:
        return self._connection.address.subject("k", _subject_token(source), key_token)

    def _report_rejection(self, answer: bytes, reject: Callable[[JournalError], None]) -> None:
        error = json.loads(answer).get("error")
        if error is not None and error.get("err_code") not in _TRANSIENT_CODES:
            reason = error.get("description", "JetStream rejects the message")
            reject(JournalError(f"the journal on {self.server} cannot be written: {reason}"))


def _subject_token(text: str) -> str:
    """Return a hash of a text for use in a NATS subject.

    The text itself may contain characters that have a special meaning in subjects.
    """
    return blake2b(text.encode(), digest_size=12).hexdigest()
