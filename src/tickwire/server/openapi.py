"""The stream in the OpenAPI document: it is dispatched before the framework, so the framework cannot describe it."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

_PARAMETERS: dict[str, tuple[str, dict[str, Any]]] = {
    "symbols": (
        "comma list of symbols and patterns such as BTC-*; * is all. Unknown symbols start when they first trade",
        {"type": "string", "default": "*"},
    ),
    "events": ("comma list of kinds of events: quote, status, message", {"type": "string", "default": "quote"}),
    "fields": (
        "comma list of quote fields to send; symbol is always among them. All, if left out",
        {"type": "string", "example": "last,change_rate,ts"},
    ),
    "interval": (
        "at most one update of a symbol in this time, always the newest: 250ms, 1s, at most 60s",
        {"type": "string", "default": "0", "example": "250ms"},
    ),
    "delivery": (
        "latest may skip superseded quotes of a slow reader; all never skips silently",
        {"type": "string", "enum": ["latest", "all"], "default": "latest"},
    ),
    "snapshot": ("whether a new reader first gets the current quotes", {"type": "boolean", "default": True}),
    "since": ("start from the past: earliest, an event id, or a time (ISO 8601, or microseconds)", {"type": "string"}),
    "client_id": ("a name for this reader", {"type": "string", "maxLength": 64}),
    "last_event_id": (
        "for clients that cannot set the Last-Event-ID header (the header wins)",
        {"type": "string", "example": "m3x9f-5121"},
    ),
}
_WRONG = {"description": "something in the request is wrong", "content": {"application/problem+json": {}}}
_ANSWERS = {
    "200": {"description": "an endless stream of events", "content": {"text/event-stream": {}}},
    "400": _WRONG,
    "503": {"description": "no more readers are taken", "content": {"application/problem+json": {}}},
}


def document_stream(app: FastAPI, path: str) -> None:
    """Let the application's OpenAPI document describe the stream at `path` too."""
    make = app.openapi

    def openapi() -> dict[str, Any]:
        document = make()
        for operations in document["paths"].values():
            for operation in operations.values():
                if operation["responses"].pop("422", None):  # we answer 400, as a problem
                    operation["responses"]["400"] = _WRONG
        document["paths"].setdefault(path, {"get": _operation()})
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # the documented way to extend the document


def _operation() -> dict[str, Any]:
    parameters = [
        {"name": name, "in": "query", "required": False, "description": text, "schema": schema}
        for name, (text, schema) in _PARAMETERS.items()
    ]
    header = {
        "name": "Last-Event-ID",
        "in": "header",
        "required": False,
        "description": "the id after which to go on; browsers send it by themselves when they reconnect",
        "schema": {"type": "string"},
    }
    return {
        "tags": ["stream"],
        "summary": "Quotes as Server-Sent Events",
        "operationId": "read_stream",
        "parameters": [*parameters, header],
        "responses": _ANSWERS,
    }
