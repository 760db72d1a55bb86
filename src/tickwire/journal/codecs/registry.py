"""Finds a codec by its name, or by a message in its encoding.

The first bytes of a message identify its codec. A process writes one encoding and reads all encodings.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, Literal, NamedTuple

from tickwire.errors import InputError, JournalError, JournalUnreadable
from tickwire.journal.codecs.commit import Commit, check_commit, decode_packed, encode_packed, unreadable_message

CodecName = Literal["packed", "json", "protobuf", "flatbuffers"]

# A packed commit starts with these bytes: a MessagePack array of four elements, and the tag of `Commit` as the first
# element.
_PACKED_PREFIX = b"\x94\xaatickwire."
# The FlatBuffers file identifier, and the start and end of the identifier in a message.
_FLATBUFFERS_IDENTIFIER = (b"TWB1", 4, 8)


class CommitCodec(NamedTuple):
    """An encoding of commits. `decode` reverses `encode`. If the data is invalid, `decode` may raise any exception."""

    encode: Callable[[Commit], bytes]
    decode: Callable[[bytes], Commit]


def find_codec(name: CodecName) -> CommitCodec:
    """Return the codec with this name. Raise InputError if the dependencies of the codec are not installed."""
    if name == "packed":
        return CommitCodec(encode_packed, decode_packed)
    try:
        module: Any = import_module(f"tickwire.journal.codecs.{name}_codec")
    except ModuleNotFoundError as error:
        raise InputError(f"{error}: install tickwire[{name}]", field="codec") from None
    return CommitCodec(module.encode, module.decode)


def decode_commit(data: bytes) -> Commit:
    """Decode a message in any encoding of a commit, and check every event in the commit.

    Raise JournalUnreadable if the message is invalid. Raise JournalError if the dependencies of its codec are not
    installed.
    """
    try:
        decode = find_codec(_detect_codec(data)).decode
    except InputError as error:
        raise JournalError(f"cannot decode a message in the journal: {error}") from None
    try:
        commit = decode(data)
    except JournalUnreadable:
        raise
    except Exception as error:  # noqa: BLE001  # libraries raise errors of many classes for data that is malformed
        raise unreadable_message(f"{type(error).__name__}: {error}") from None
    check_commit(commit)
    return commit


def _detect_codec(data: bytes) -> CodecName:
    if data.startswith(_PACKED_PREFIX):
        return "packed"
    identifier, start, end = _FLATBUFFERS_IDENTIFIER
    if data[start:end] == identifier:
        return "flatbuffers"
    if data.startswith(b"{"):
        return "json"
    # A Protobuf commit starts with the tag of its first field. The packed codec decodes all other data, and rejects
    # data that is not packed.
    return "protobuf" if data.startswith(b"\x08") else "packed"
