"""The forms of a commit: one is chosen for what is written, every one is understood."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, Literal, NamedTuple

from tickwire.errors import InputError, JournalError
from tickwire.journal.nats.commit import Commit, decode_packed, encode_packed

Codec = Literal["packed", "json", "protobuf", "flatbuffers"]

_PACKED = b"\x94\xaatickwire."  # an array of four, the first of which names it
_FLATBUFFERS = (b"TWB1", 4, 8)  # the file identifier, and where it stands


class Form(NamedTuple):
    """One form. `decode` answers what `encode` was given; JournalError where that cannot be."""

    encode: Callable[[Commit], bytes]
    decode: Callable[[bytes], Commit]


def form(name: Codec) -> Form:
    """A form by its name; InputError where what it needs is not installed."""
    if name == "packed":
        return Form(encode_packed, decode_packed)
    try:
        module: Any = import_module(f"tickwire.journal.nats.wire.{name}_form")
    except ModuleNotFoundError as error:
        raise InputError(f"{error}: install tickwire[{name}]", field="codec") from None
    return Form(module.encode, module.decode)


def decode(data: bytes) -> Commit:
    """The commit in a message, whatever its form; JournalError where it is none, or cannot be read here."""
    if data.startswith(_PACKED):
        return decode_packed(data)
    try:
        commit = form(_guess(data)).decode(data)
    except InputError as error:
        raise JournalError(f"a message in the stream cannot be read here: {error}") from None
    if commit.first < 1 or not commit.items:
        raise JournalError("a message in the stream is not Tickwire's: it holds no event")
    return commit


def _guess(data: bytes) -> Codec:
    identifier, begin, end = _FLATBUFFERS
    if data[begin:end] == identifier:
        return "flatbuffers"
    if data.startswith(b"{"):
        return "json"
    # A batch in Protobuf begins with its first field; what does not is no form that there is.
    return "protobuf" if data.startswith(b"\x08") else "packed"
