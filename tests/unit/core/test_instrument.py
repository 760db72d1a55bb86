"""The characters of symbols."""

from __future__ import annotations

import msgspec
import pytest

from tickwire.core.codec import decode_json, encode_json
from tickwire.core.instrument import check_symbol
from tickwire.core.tick import Tick
from tickwire.errors import InputError


@pytest.mark.parametrize("text", ["", " ", " A", "A ", "A,B", "A*", "Ä", "A\n", "x" * 33, "a%"])
def test_invalid_symbol_raises(text: str) -> None:
    """Characters that break a list, a pattern or a line are invalid, in a published tick too."""
    with pytest.raises(InputError, match="cannot be a symbol"):
        check_symbol(text)
    with pytest.raises(msgspec.ValidationError, match="matching regex"):
        decode_json(encode_json({"symbol": text}), Tick)
