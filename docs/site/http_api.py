"""Write the reference of the HTTP interface from the OpenAPI document of the server."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx2

from tickwire.testing.server import run_server

HEAD = """# The HTTP interface

The server generates this reference from its code. A running server shows the same reference at `/docs`, where you can
send requests, and serves it as OpenAPI at `/openapi.json`. [The protocol](../protocol.md) explains the streams.

"""


def http_api_page() -> str:
    """Return the Markdown page with all operations of the server."""
    document = asyncio.run(_load_document())
    return HEAD + "".join(
        _operation(method, path, operation)
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    )


async def _load_document() -> dict[str, Any]:
    async with run_server() as server, httpx2.AsyncClient(base_url=server.url) as client:
        return dict((await client.get("/openapi.json")).json())


def _operation(method: str, path: str, operation: dict[str, Any]) -> str:
    text = f"## `{method.upper()} {path}`\n\n{operation.get('description') or operation.get('summary', '')}\n\n"
    if parameters := operation.get("parameters"):
        text += "| parameter | in | type | default | meaning |\n|---|---|---|---|---|\n"
        text += "".join(map(_parameter, parameters)) + "\n"
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        text += f"Request body: `{kind}`"
        text += f", for example:\n\n```json\n{_json(content['example'])}\n```\n\n" if "example" in content else "\n\n"
    text += "| status | answer |\n|---|---|\n"
    return text + "".join(map(_response, operation["responses"].items())) + "\n"


def _parameter(parameter: dict[str, Any]) -> str:
    schema = parameter.get("schema", {})
    default = f"`{_json(schema['default'])}`" if "default" in schema else ""
    name = f"`{parameter['name']}`" + (" (required)" if parameter.get("required") else "")
    return _row(name, parameter["in"], _type(schema), default, parameter.get("description", ""))


def _type(schema: dict[str, Any]) -> str:
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "anyOf" in schema:
        return " or ".join(_type(each) for each in schema["anyOf"])
    return str(schema.get("type", ""))


def _response(answer: tuple[str, dict[str, Any]]) -> str:
    status, response = answer
    kinds = ", ".join(f"`{kind}`" for kind in response.get("content", {}))
    return _row(status, f"{response['description']}{f' ({kinds})' if kinds else ''}")


def _row(*cells: str) -> str:
    # A vertical bar or a line break would end the cell.
    return "|" + "".join(f" {' '.join(cell.split()).replace('|', chr(92) + '|')} |" for cell in cells) + "\n"


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)
