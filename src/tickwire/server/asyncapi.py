"""The AsyncAPI document: the stream as a channel, and its events as messages."""

from __future__ import annotations

from typing import Any

from tickwire.core.event_kinds import StreamEvent
from tickwire.server.event_schemas import MESSAGE_SCHEMA_NAME, event_schemas, schema_reference
from tickwire.server.openapi import stream_parameter_schemas

_ID_SCHEMA = {"type": "string", "example": "m3x9f-5121"}
_MESSAGE_MEANING = "a message, with a name that its sender chooses"


def asyncapi_document(stream_path: str) -> dict[str, Any]:
    """Return the AsyncAPI 3.0 document of the server."""
    references, schemas = event_schemas()
    messages = {event.value: _message(event.value, event.meaning, references[event]) for event in StreamEvent}
    messages["message"] = _message("message", _MESSAGE_MEANING, schema_reference(MESSAGE_SCHEMA_NAME))
    query = {"type": "object", "properties": stream_parameter_schemas()}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Tickwire",
            "version": "1",
            "description": "Market data as Server-Sent Events. An event without a name is a quote.",
        },
        "defaultContentType": "application/json",
        "channels": {
            "stream": {
                "address": stream_path,
                "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
            }
        },
        "operations": {
            "readStream": {
                "action": "send",
                "channel": {"$ref": "#/channels/stream"},
                "summary": "Send the events of a subscription in an endless response",
                "bindings": {"http": {"method": "GET", "query": query, "bindingVersion": "0.3.0"}},
            }
        },
        "components": {"messages": messages, "schemas": schemas},
    }


def _message(name: str, meaning: str, payload: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": name,
        "summary": meaning,
        "payload": payload,
        "headers": {
            "type": "object",
            "description": "the fields of the Server-Sent Event besides its data",
            "properties": {"event": {"type": "string"}, "id": _ID_SCHEMA, "retry": {"type": "integer"}},
        },
    }
