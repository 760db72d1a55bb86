"""The one place that turns objects into JSON and back. Not-a-number and infinities become null."""

from __future__ import annotations

from typing import TypeVar

import msgspec

T = TypeVar("T")

_ENCODER = msgspec.json.Encoder()

encode = _ENCODER.encode
"""JSON bytes of one object."""

encode_lines = _ENCODER.encode_lines
"""JSON bytes of many objects, one a line, each line ended by a newline."""


def decode(data: bytes | str, kind: type[T]) -> T:
    """The object of `kind` that the JSON text `data` spells; msgspec's errors where it does not."""
    return msgspec.json.decode(data, type=kind)
