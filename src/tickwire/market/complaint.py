"""What is wrong with a file that people write: the key, the value that stands there, and what it should be."""

from __future__ import annotations

import re
from typing import Any

from tickwire.core.codec import encode
from tickwire.errors import InputError

_PATH = re.compile(r" - at `\$(?P<path>.*)`$")
_KEY = re.compile(r"\.(\w+)|\[(\d+)\]")
_LONGEST = 60  # characters of a value that are shown


def wrong(what: str, key: str, value: Any, why: str) -> InputError:
    """The error for a `value` that stands at `key` of a file of the kind `what`."""
    text = encode(value).decode()
    shown = text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."
    return InputError(f"{what}: {key} = {shown}: {why}", field=key)


def complaint(what: str, document: Any, said: str) -> InputError:
    """The error for what msgspec `said` of `document`: its sentence names the key but not the value."""
    found = _PATH.search(said)
    if found is None:
        return InputError(f"{what}: {said[0].lower()}{said[1:]}", field=what)
    why, key = f"{said[0].lower()}{said[1 : found.start()]}", found["path"].lstrip(".")
    if "unknown field" in why or "missing required" in why:
        return InputError(f"{what}: {key}: {why}", field=key)
    for name, index in _KEY.findall(found["path"]):
        document = document[name or int(index)]
    return wrong(what, key, document, why)
