"""Make untrusted text safe for a log line: without control characters and tokens, and with a bounded length.

Clients choose paths, names, filters and many other texts. A control character could forge a line of a log or control
the terminal of the person who reads the log. A long text could fill the disk. A client that sends its token at the
wrong place, for example in a path, would reveal the token to everybody who reads the log.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from tickwire.core.codec import decode_json, encode_json

MAX_FIELD_BYTES = 256
"""The maximum size of one field of a log line. The limit is large enough for a user name of 128 letters with
accents."""
MAX_DETAILS_BYTES = 1_000
"""The maximum size of the details of a request in the audit log. The limit is large enough for the details of a change
of about 80 symbols."""

# The beginning of each JSON Web Token, because `eyJ` is the Base64 encoding of `{"`.
_JWT_START = "eyJ"
_JWT = re.compile(rf"{_JWT_START}[\w-]{{8,}}(?:\.[\w-]*){{0,2}}")


def escape_controls(text: str) -> str:
    r"""Return `text` with a JSON escape such as \u001b in place of each character that is not printable.

    These characters are control characters, line and paragraph separators, surrogates, and invisible formatting
    characters, which may reverse the direction of the text.
    """
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else json.dumps(character)[1:-1] for character in text)


def safe_text(text: str, max_bytes: int = MAX_FIELD_BYTES) -> str:
    """Return `text` in a form that is safe for a log: printable, and with at most `max_bytes` bytes in UTF-8.

    `***` replaces each JSON Web Token. If the text is cut, a note states the number of characters in the whole text.
    """
    if _JWT_START in text:
        text = _JWT.sub("***", text)
    # Most texts are short and harmless. Return such a text at once.
    if len(text) <= max_bytes and text.isascii() and text.isprintable():
        return text
    escaped = escape_controls(text[:max_bytes]).encode()
    if len(text) <= max_bytes >= len(escaped):
        return escaped.decode()
    return f"{escaped[:max_bytes].decode(errors='ignore')}... ({len(text):,} characters)"


def safe_details(details: Mapping[str, Any]) -> dict[str, Any]:
    """Return `details` in a form that is safe for a log: printable, and at most MAX_DETAILS_BYTES of JSON.

    If the JSON text is longer, the result contains only the beginning of the text, under the key `truncated`.
    """
    encoded = encode_json(details)
    if len(encoded) > MAX_DETAILS_BYTES:
        return {"truncated": safe_text(encoded.decode(), MAX_DETAILS_BYTES)}
    decoded, text = decode_json(encoded, dict[str, Any]), encoded.decode()
    # If the whole text is harmless, all its parts are harmless. A backslash may stand for a control character.
    if "\\" not in text and safe_text(text) == text:
        return decoded
    safe: dict[str, Any] = _escape_leaves(decoded)
    return safe


def _escape_leaves(value: Any) -> Any:
    if isinstance(value, str):
        return safe_text(value)
    if isinstance(value, list):
        return [_escape_leaves(item) for item in value]
    if isinstance(value, dict):
        return {safe_text(key): _escape_leaves(item) for key, item in value.items()}
    return value
