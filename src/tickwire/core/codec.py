"""Conversion of objects to JSON and back (NaN and infinities become null), and of large structs to MessagePack."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, TypeVar

import msgspec

if TYPE_CHECKING:
    LargeBytes: TypeAlias = bytes | memoryview
else:
    # msgspec decodes a field of this type as a view of the decoded message, without a copy.
    LargeBytes = memoryview

T = TypeVar("T")

_ERROR_POSITION_PATTERN = re.compile(r"\(byte (\d+)\)$")
_NON_NUMBER_PATTERN = re.compile(rb'"(\w+)"\s*:\s*(NaN|-?Infinity)')
_MAX_NON_NUMBER_BYTES = len(b"-Infinity")
_MAX_FIELD_BYTES = 64

# MessagePack describes bytes of this length or more with the type byte 0xC6 and a length of four bytes.
_MIN_LONG_BYTES = 65_536

_ENCODER = msgspec.json.Encoder()

encode_json = _ENCODER.encode
"""Encode one object as JSON."""

encode_json_lines = _ENCODER.encode_lines
"""Encode many objects as JSON, one line for each object. Every line ends with a newline."""


def decode_json(data: bytes | str, target_type: type[T]) -> T:
    """Decode JSON as an object of `target_type`.

    Raise msgspec.DecodeError if the JSON is invalid, or msgspec.ValidationError if the JSON does not match the type.
    """
    return msgspec.json.decode(data, type=target_type)


def encode_large_struct(struct: msgspec.Struct) -> bytes:
    """Return the same bytes as `msgspec.msgpack.encode`, but do not hold the interpreter lock during the copy.

    `bytes.join` copies the large fields, and releases the lock. So if a thread calls this function for a struct of many
    megabytes, the other threads can run. The struct must have neither a tag nor `omit_defaults`.
    """
    fields, is_array = msgspec.structs.fields(struct), struct.__struct_config__.array_like
    count = len(fields)
    # The type bytes of an array or a map in the MessagePack specification: `short` for up to 15 items, `long` for more.
    short, long = (0x90, b"\xdc") if is_array else (0x80, b"\xde")
    parts = [bytes([short | count]) if count < 16 else long + count.to_bytes(2, "big")]
    for field in fields:
        if not is_array:
            parts.append(msgspec.msgpack.encode(field.encode_name))
        value = getattr(struct, field.name)
        if type(value) is bytes and len(value) >= _MIN_LONG_BYTES:
            parts += [b"\xc6" + len(value).to_bytes(4, "big"), value]
        else:
            parts.append(msgspec.msgpack.encode(value))
    return b"".join(parts)


class NonNumber(NamedTuple):
    """A value such as NaN, which some libraries write although it is not valid JSON.

    `position` is the index of the quotation mark before the field's name in the JSON text.
    """

    field: str
    text: str
    position: int


def find_non_number(data: bytes, error: Exception) -> NonNumber | None:
    """Return the NaN, Infinity or -Infinity that caused the decoding error `error`.

    Return None if the error has another cause.
    """
    position = _ERROR_POSITION_PATTERN.search(str(error))
    if position is None:
        return None
    # Search for the name and the value of the field. The error contains a position inside the value, so the name is
    # before this position.
    end = int(position[1]) + _MAX_NON_NUMBER_BYTES
    found = [*_NON_NUMBER_PATTERN.finditer(data, max(0, end - _MAX_FIELD_BYTES), end)]
    return NonNumber(found[-1][1].decode(), found[-1][2].decode(), found[-1].start()) if found else None
