"""Builds errors about hand-written files. A message contains the key, the invalid value and the expected value."""

from __future__ import annotations

import re
from typing import Any

import msgspec
from msgspec.inspect import Field, ListType, Metadata, StructType, Type, UnionType, VarTupleType, type_info

from tickwire.core.codec import encode_json
from tickwire.errors import InputError, suggest_name

_PATH_PATTERN = re.compile(r" - at `\$(?P<path>.*)`$")
_PATH_STEP_PATTERN = re.compile(r"\.(\w+)|\[(\d+)\]")
_UNKNOWN_FIELD_PATTERN = re.compile(r"unknown field `(\w+)`")
# The maximum length of a value in an error message. Longer values are truncated.
_MAX_SHOWN_CHARS = 60


def invalid_value_error(document_kind: str, key: str, value: Any, reason: str) -> InputError:
    """Return the error for an invalid value in a document. `key` is the path of the value."""
    text = encode_json(value).decode()
    shown = text if len(text) <= _MAX_SHOWN_CHARS else text[: _MAX_SHOWN_CHARS - 3] + "..."
    return InputError(f"{document_kind}: {key} = {shown}: {reason}", field=key)


def invalid_document_error(
    document_kind: str, document: Any, validation_message: str, struct_type: type[msgspec.Struct]
) -> InputError:
    """Return the error for a document that msgspec rejected with `validation_message`.

    In contrast to the message of msgspec, the returned error contains the invalid value. Instead of a regular
    expression, it describes the expected value in words.
    """
    match = _PATH_PATTERN.search(validation_message)
    path = match["path"] if match else ""
    reason = f"{validation_message[0].lower()}{validation_message[1 : match.start() if match else None]}"
    key = path.lstrip(".")
    node = _DocumentNode(document, type_info(struct_type)).descend(path)
    unknown = _UNKNOWN_FIELD_PATTERN.search(reason)
    if unknown is not None:
        return InputError(
            f"{document_kind}: {key + ': ' * bool(key)}{reason}",
            field=key or document_kind,
            hint=node.suggest_key(unknown[1]),
        )
    if not key or "missing required" in reason:
        return InputError(f"{document_kind}: {key + ': ' * bool(key)}{reason}", field=key or document_kind)
    return invalid_value_error(
        document_kind, key, node.value, f"expected {node.description}" if "matching regex" in reason else reason
    )


class _DocumentNode:
    """A value in a document, with its expected type."""

    def __init__(self, value: Any, expected_type: Type | None) -> None:
        self.value = value
        self.description = ""
        while isinstance(expected_type, Metadata):
            self.description = (expected_type.extra_json_schema or {}).get("description", "")
            expected_type = expected_type.type
        self._type = _matching_struct(expected_type, value) if isinstance(expected_type, UnionType) else expected_type

    def descend(self, path: str) -> _DocumentNode:
        """Return the value at `path`, with its expected type. `path` is relative to this node."""
        node = self
        for name, index in _PATH_STEP_PATTERN.findall(path):
            node = node._child(name) if name else node._element(int(index))
        return node

    def suggest_key(self, key: str) -> str | None:
        """Return a hint for an unknown key."""
        return suggest_name(key, [field.encode_name for field in self._fields])

    @property
    def _fields(self) -> tuple[Field, ...]:
        return self._type.fields if isinstance(self._type, StructType) else ()

    def _child(self, name: str) -> _DocumentNode:
        kind = next((field.type for field in self._fields if field.encode_name == name), None)
        return _DocumentNode(self.value[name], kind)

    def _element(self, index: int) -> _DocumentNode:
        kind = self._type.item_type if isinstance(self._type, VarTupleType | ListType) else None
        return _DocumentNode(self.value[index], kind)


def _matching_struct(union: UnionType, value: Any) -> Type | None:
    """Return the type in `union` that the author of `value` probably meant. Return None if that type is unclear."""
    structs = [each for each in union.types if isinstance(each, StructType)]
    keys = value if isinstance(value, dict) else {}
    tagged = (each for each in structs if each.tag is not None and keys.get(each.tag_field or "") == each.tag)
    return next(tagged, structs[0] if len(structs) == 1 else None)
