"""What is wrong with a file that people write: the key, the value that stands there, and what it should be."""

from __future__ import annotations

import re
from typing import Any

import msgspec
from msgspec.inspect import Field, ListType, Metadata, StructType, Type, UnionType, VarTupleType, type_info

from tickwire.core.codec import encode
from tickwire.errors import InputError, nearest

_PATH = re.compile(r" - at `\$(?P<path>.*)`$")
_KEY = re.compile(r"\.(\w+)|\[(\d+)\]")
_UNKNOWN = re.compile(r"unknown field `(\w+)`")
_LONGEST = 60  # characters of a value that are shown


def wrong(what: str, key: str, value: Any, why: str) -> InputError:
    """The error for a `value` that stands at `key` of a file of the kind `what`."""
    text = encode(value).decode()
    shown = text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."
    return InputError(f"{what}: {key} = {shown}: {why}", field=key)


def complaint(what: str, document: Any, said: str, kind: type[msgspec.Struct]) -> InputError:
    """The error for what msgspec `said` of `document`, which is to be of a `kind`: its sentence lacks the value.

    What a text should look like is said by the description of its type, not by a pattern.
    """
    found = _PATH.search(said)
    path = found["path"] if found else ""
    why, key = f"{said[0].lower()}{said[1 : found.start() if found else None]}", path.lstrip(".")
    place = _Place(document, type_info(kind)).at(path)
    unknown = _UNKNOWN.search(why)
    if unknown is not None:
        return InputError(f"{what}: {key + ': ' * bool(key)}{why}", field=key or what, hint=place.hint(unknown[1]))
    if not key or "missing required" in why:
        return InputError(f"{what}: {key + ': ' * bool(key)}{why}", field=key or what)
    return wrong(what, key, place.value, f"expected {place.description}" if "matching regex" in why else why)


class _Place:
    """A value in a document, and what it should be."""

    def __init__(self, value: Any, kind: Type | None) -> None:
        self.value = value
        self.description = ""
        while isinstance(kind, Metadata):
            self.description = (kind.extra_json_schema or {}).get("description", "")
            kind = kind.type
        self._kind = _chosen(kind, value) if isinstance(kind, UnionType) else kind

    def at(self, path: str) -> _Place:
        """The place to which the path leads from here."""
        place = self
        for name, index in _KEY.findall(path):
            place = place._step(name) if name else place._item(int(index))
        return place

    def hint(self, key: str) -> str | None:
        """What was probably meant by a key that there is not."""
        return nearest(key, [field.encode_name for field in self._fields])

    @property
    def _fields(self) -> tuple[Field, ...]:
        return self._kind.fields if isinstance(self._kind, StructType) else ()

    def _step(self, name: str) -> _Place:
        kind = next((field.type for field in self._fields if field.encode_name == name), None)
        return _Place(self.value[name], kind)

    def _item(self, index: int) -> _Place:
        kind = self._kind.item_type if isinstance(self._kind, VarTupleType | ListType) else None
        return _Place(self.value[index], kind)


def _chosen(kind: UnionType, value: Any) -> Type | None:
    """Of several types the one that the value is meant to be."""
    structs = [each for each in kind.types if isinstance(each, StructType)]
    said = value if isinstance(value, dict) else {}
    tagged = (each for each in structs if each.tag is not None and said.get(each.tag_field or "") == each.tag)
    return next(tagged, structs[0] if len(structs) == 1 else None)
