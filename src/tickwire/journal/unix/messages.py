"""The messages between the owner of a journal and its followers.

A follower sends requests, and the owner answers each request with a Reply of the same id. The owner sends every new
record without a request. Each message is MessagePack, preceded by its length in four bytes.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec

from tickwire import errors
from tickwire.core.event import JournalEntry, JournalRecord, RecordKind
from tickwire.errors import JournalError
from tickwire.journal.base import JournalStats

PROTOCOL_VERSION = 2
"""The version of the protocol. Increase it with every change of the protocol, because processes of two versions run
together during an upgrade."""
LENGTH_BYTES = 4
# The maximum size of a message. A longer message is an error of the sender, because all regular messages are smaller.
# The largest regular messages are a snapshot with 5,000 symbols, and a read of 64 MB of ticks.
MAX_MESSAGE_BYTES = 2**30

_ERROR_CLASSES = {
    name: each for name, each in vars(errors).items() if isinstance(each, type) and issubclass(each, JournalError)
}


class Hello(msgspec.Struct, tag=0, array_like=True, frozen=True):
    """The first message of a follower. `node` is the name of the process in the cluster.

    The owner sends the records after event `after`. If `after` is None, the owner sends the records after the newest
    event.
    """

    node: str
    after: int | None = None
    wants_records: bool = True
    version: int = PROTOCOL_VERSION


class Append(msgspec.Struct, tag=1, array_like=True, frozen=True):
    """A request to append an entry. The result is a SequenceRange."""

    id: int
    entry: JournalEntry


class Read(msgspec.Struct, tag=2, array_like=True, frozen=True):
    """A request for records; see `Journal.read`."""

    id: int
    after: int
    limit: int
    kind: RecordKind | None


class FindSequenceBefore(msgspec.Struct, tag=3, array_like=True, frozen=True):
    """See `Journal.find_sequence_before`."""

    id: int
    ts: int


class LastKey(msgspec.Struct, tag=4, array_like=True, frozen=True):
    """See `Journal.last_key`."""

    id: int
    source: str


class SaveSnapshot(msgspec.Struct, tag=5, array_like=True, frozen=True):
    """See `Journal.save_snapshot`."""

    id: int
    sequence: int
    data: bytes


class LoadSnapshot(msgspec.Struct, tag=6, array_like=True, frozen=True):
    """See `Journal.load_snapshot`."""

    id: int
    max_sequence: int | None


class Subscribe(msgspec.Struct, tag=7, array_like=True, frozen=True):
    """Subscribe to the peer messages that are sent to an address."""

    address: str


class Unsubscribe(msgspec.Struct, tag=8, array_like=True, frozen=True):
    """End the subscription to an address."""

    address: str


class PeerMessage(msgspec.Struct, tag=9, array_like=True, frozen=True):
    """A message between processes. The owner forwards it to each process that has subscribed to the address."""

    address: str
    data: bytes
    reply_to: str


class OwnerWelcome(msgspec.Struct, tag=16, array_like=True, frozen=True):
    """The owner's answer to a Hello message. `node` is the name of the owner."""

    node: str
    epoch: str
    head: int
    version: int = PROTOCOL_VERSION


class Records(msgspec.Struct, tag=17, array_like=True, frozen=True):
    """The next records of the journal."""

    records: list[JournalRecord]


class OwnerState(msgspec.Struct, tag=18, array_like=True, frozen=True):
    """The state of the journal. The owner sends this message regularly. If no message arrives, the owner no longer
    runs."""

    stats: JournalStats
    unavailable_reason: str | None


class Reply(msgspec.Struct, tag=19, array_like=True, frozen=True):
    """The result of a request as MessagePack, or an error: the name of its class, and its text."""

    id: int
    result: msgspec.Raw
    error: tuple[str, str] | None = None


class Failure(msgspec.Struct, tag=20, array_like=True, frozen=True):
    """The message that the owner sends before it disconnects a follower that can never continue."""

    reason: str


Request: TypeAlias = Append | Read | FindSequenceBefore | LastKey | SaveSnapshot | LoadSnapshot
FollowerMessage: TypeAlias = Hello | Request | Subscribe | Unsubscribe | PeerMessage
OwnerMessage: TypeAlias = OwnerWelcome | Records | OwnerState | Reply | Failure | PeerMessage

_encoder = msgspec.msgpack.Encoder()


def encode_message(message: FollowerMessage | OwnerMessage) -> bytearray:
    """Return an encoded message, preceded by its length."""
    buffer = bytearray(LENGTH_BYTES)
    _encoder.encode_into(message, buffer, LENGTH_BYTES)
    buffer[:LENGTH_BYTES] = (len(buffer) - LENGTH_BYTES).to_bytes(LENGTH_BYTES, "big")
    return buffer


def result_reply(request: Request, result: Any) -> Reply:
    """Return the reply to a request that succeeded."""
    return Reply(request.id, msgspec.Raw(_encoder.encode(result)))


def error_reply(request: Request, error: JournalError) -> Reply:
    """Return the reply to a request that failed."""
    return Reply(request.id, msgspec.Raw(_encoder.encode(None)), (type(error).__name__, str(error)))


def decode_error(error: tuple[str, str]) -> JournalError:
    """Return the error that a reply contains."""
    name, text = error
    return _ERROR_CLASSES.get(name, JournalError)(text)
