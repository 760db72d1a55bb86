"""What the OpenAPI document says of streams and publishing: the framework does not see them, so it cannot say it."""

from __future__ import annotations

from typing import Any

import msgspec
from fastapi import FastAPI

from tickwire.core.candle import INTERVALS
from tickwire.core.tick import Tick
from tickwire.hub.subscription import CANDLES
from tickwire.server.publish import KEY_LENGTH

_PARAMETERS: dict[str, tuple[str, dict[str, Any]]] = {
    "symbols": (
        "comma list of symbols and patterns such as BTC-*; * is all. Unknown symbols start when they first trade",
        {"type": "string", "default": "*"},
    ),
    "filter": (
        "only quotes that it takes, and enter and leave events for symbols that come to match and cease to",
        {"type": "string", "example": "volume > 1M and change_rate > 5%"},
    ),
    "events": (
        "comma list of kinds of events: quote, candle, screen, status, message. If left out, quote; with a filter "
        "also screen, with candles also candle",
        {"type": "string", "default": "quote"},
    ),
    "candles": (
        "the interval of candle events; they are sent twice a second as they form, and once when they have closed",
        {"type": "string", "enum": [*INTERVALS], "default": CANDLES},
    ),
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
    "subscription": (
        "the id of a subscription that was put down with POST /v1/subscriptions, in place of all that it can hold",
        {"type": "string"},
    ),
    "last_event_id": (
        "for clients that cannot set the Last-Event-ID header (the header wins)",
        {"type": "string", "example": "m3x9f-5121"},
    ),
    "ticket": ("a ticket from POST /v1/tickets, in place of a token; good once", {"type": "string"}),
    "access_token": ("a token, where the server allows it in URLs; better is a ticket", {"type": "string"}),
}


def _problem(text: str) -> dict[str, Any]:
    return {"description": text, "content": {"application/problem+json": {}}}


_WRONG = _problem("something in the request is wrong")
_STREAM_ANSWERS = {
    "200": {"description": "an endless stream of events", "content": {"text/event-stream": {}}},
    "400": _WRONG,
    "404": _problem("no such subscription is kept"),
    "429": _problem("too many readers of one address or user"),
    "503": _problem("no more readers are taken"),
}
_TICK = msgspec.json.schema(Tick)["$defs"]["Tick"]
_PUBLISH = {
    "tags": ["quotes"],
    "summary": "Publish ticks",
    "description": "A JSON array, or NDJSON. One bad row rejects the whole batch, naming its index and field.",
    "operationId": "publish_ticks",
    "parameters": [
        {
            "name": "Idempotency-Key",
            "in": "header",
            "required": False,
            "description": "a repeated key publishes nothing anew",
            "schema": {"type": "string", "maxLength": KEY_LENGTH},
        }
    ],
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": {"type": "array", "items": _TICK}},
            "application/x-ndjson": {"schema": _TICK},
        },
    },
    "responses": {
        "200": {"description": "the key was there before, with these ids", "content": {"application/json": {}}},
        "201": {"description": "the ticks are durable, with these ids", "content": {"application/json": {}}},
        "400": _WRONG,
        "413": _problem("too many ticks, or too long a body"),
        "503": _problem("the journal cannot be written"),
    },
}


def document(app: FastAPI, *, stream: str, publish: str) -> None:
    """Let the application's OpenAPI document describe what stands at these paths too."""
    make = app.openapi

    def openapi() -> dict[str, Any]:
        made = make()
        for operations in made["paths"].values():
            for operation in operations.values():
                if operation["responses"].pop("422", None):  # we answer 400, as a problem
                    operation["responses"]["400"] = _WRONG
        made["paths"].setdefault(stream, {})["get"] = _stream_operation()
        made["paths"].setdefault(publish, {})["post"] = _PUBLISH
        return made

    app.openapi = openapi  # type: ignore[method-assign]  # the documented way to extend the document


def _stream_operation() -> dict[str, Any]:
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
        "responses": _STREAM_ANSWERS,
    }
