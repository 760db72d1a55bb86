"""Convert JSON Schemas of the OpenAPI document to TypeScript."""

from __future__ import annotations

import json
from collections.abc import Mapping
from textwrap import fill
from typing import Any

_PRIMITIVES = {"integer": "number", "number": "number", "string": "string", "boolean": "boolean", "null": "null"}
_LINE_LENGTH = 120


def typescript_interfaces(schemas: Mapping[str, Mapping[str, Any]]) -> str:
    """Return one interface for each schema of an object, or one type for any other schema."""
    return "\n".join(_declaration(name, schemas[name]) for name in sorted(schemas))


def _declaration(name: str, schema: Mapping[str, Any]) -> str:
    comment = _comment(schema.get("description", ""))
    if "properties" not in schema:
        return f"{comment}export type {name} = {_expression(schema)};\n"
    required = schema.get("required", ())
    members = "".join(
        f"  {key}{'' if key in required or 'default' in member else '?'}: {_expression(member)};\n"
        for key, member in schema["properties"].items()
    )
    return f"{comment}export interface {name} {{\n{members}}}\n"


def _comment(text: str) -> str:
    text = text.replace("None", "null")
    paragraphs = [" ".join(paragraph.split()) for paragraph in text.split("\n\n") if paragraph.strip()]
    if not paragraphs:
        return ""
    if len(paragraphs) == 1 and len(paragraphs[0]) <= _LINE_LENGTH - len("/**  */"):
        return f"/** {paragraphs[0]} */\n"
    filled = [fill(each, _LINE_LENGTH, initial_indent=" * ", subsequent_indent=" * ") for each in paragraphs]
    return "/**\n" + "\n *\n".join(filled) + "\n */\n"


def _expression(schema: Mapping[str, Any]) -> str:
    """Return the TypeScript type of a value."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "anyOf" in schema:
        return " | ".join(map(_expression, schema["anyOf"]))
    if "enum" in schema:
        return " | ".join(json.dumps(value) for value in schema["enum"])
    kind = schema.get("type")
    if kind == "array" and "prefixItems" in schema:
        return f"[{', '.join(map(_expression, schema['prefixItems']))}]"
    if kind == "array":
        item = _expression(schema.get("items", {}))
        return f"({item})[]" if "|" in item else f"{item}[]"
    if kind == "object":
        return f"Record<string, {_expression(schema.get('additionalProperties', {}))}>"
    return _PRIMITIVES.get(str(kind), "unknown")
