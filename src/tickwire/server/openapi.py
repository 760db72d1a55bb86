"""The parts of the OpenAPI document that FastAPI cannot generate: streams and publishing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.routing import APIRoute

from tickwire.core.candle import INTERVAL_SECONDS
from tickwire.core.event import EVENT_NAME_PATTERN
from tickwire.core.event_kinds import RESERVED_EVENT_NAMES, StreamEvent
from tickwire.core.published_tick import PublishedTick
from tickwire.core.quote import Quote
from tickwire.screens.ranking import MAX_TOP
from tickwire.server.event_schemas import MESSAGE_SCHEMA_NAME, event_schemas, schema_reference
from tickwire.server.hub_state import find_hub_state
from tickwire.server.middleware.head_header import HEAD_HEADER
from tickwire.server.rest_schemas import rest_schemas
from tickwire.server.routes.publish import MAX_KEY_LENGTH
from tickwire.server.routes.subscriptions import SUBSCRIPTION_BODY
from tickwire.sessions.subscription import DEFAULT_CANDLE_INTERVAL, Heartbeats

_PARAMETER_SCHEMAS: dict[str, tuple[str, dict[str, Any]]] = {
    "symbols": (
        "comma-separated list of symbols and patterns such as `BTC-*`. `*` means all symbols. A listed symbol need "
        "not have traded yet",
        {"type": "string", "default": "*"},
    ),
    "filter": (
        "send only quotes that match this filter expression. Also send an `enter` event when a symbol starts to "
        "match, and a `leave` event when a symbol stops matching",
        {"type": "string", "example": "volume > 1M and change_rate > 5%"},
    ),
    "order": (
        "send only the first symbols in this order: an expression of numbers, and asc (the default) or desc. "
        "Requires `top`. Also send an `enter` event when a symbol enters this list, and a `leave` event when a "
        "symbol leaves it",
        {"type": "string", "example": "change_rate desc"},
    ),
    "top": ("the number of symbols to send. Requires `order`", {"type": "integer", "minimum": 1, "maximum": MAX_TOP}),
    "events": (
        "comma-separated list of event kinds: `quote`, `candle`, `screen`, `status`, `message`. The default is "
        "`quote`. The parameters `filter` and `order` add `screen` to the default, and `candles` adds `candle`",
        {"type": "string", "default": "quote"},
    ),
    "candles": (
        "interval of candle events. An open candle is sent at most twice a second, and a closed candle exactly once",
        {"type": "string", "enum": [*INTERVAL_SECONDS], "default": DEFAULT_CANDLE_INTERVAL},
    ),
    "fields": (
        (
            "comma-separated list of quote fields to send. The field `symbol` is always sent. By default, all fields "
            "are sent"
        ),
        {"type": "string", "example": "last,change_rate,ts"},
    ),
    "interval": (
        "minimum time between updates of a symbol, such as 250ms or 1s; at most 60s. Each update is the newest quote",
        {"type": "string", "default": "0", "example": "250ms"},
    ),
    "delivery": (
        "`latest`: if a reader is slow, newer quotes replace older quotes. `all`: a reader receives every event, "
        "or a `gap` event in place of lost events",
        {"type": "string", "enum": ["latest", "all"], "default": "latest"},
    ),
    "heartbeats": (
        "the form of the heartbeats of a silent stream. `comment`: a comment, which EventSource hides from the "
        "page. `event`: an event with the name `heartbeat`",
        {"type": "string", "enum": [*Heartbeats], "default": Heartbeats.COMMENT},
    ),
    "snapshot": (
        "send the current quotes first (a snapshot). A stream that resumes sends no snapshot",
        {"type": "boolean", "default": True},
    ),
    "since": (
        "begin with past events: from `earliest`, an event id, or a time (ISO 8601, or microseconds since 1970)",
        {"type": "string"},
    ),
    "client_id": ("a name for this reader", {"type": "string", "maxLength": 64}),
    "subscription": (
        "id of a subscription that POST /v1/subscriptions has stored. It replaces symbols, filter, order, top, "
        "events, candles, fields, interval, delivery and heartbeats, so do not send these parameters with it",
        {"type": "string"},
    ),
    "last_event_id": (
        "resume after this event, for clients that cannot set the Last-Event-ID header. The header takes "
        "precedence. Other spellings of this parameter, such as `lastEventId`, have the same meaning. If the "
        "URL contains several of these parameters, the server uses the one at the end of the URL",
        {"type": "string", "example": "m3x9f-5121"},
    ),
    "ticket": ("a single-use ticket from POST /v1/tickets, in place of a token", {"type": "string"}),
    "access_token": ("a token, if the server accepts tokens in URLs; prefer a ticket", {"type": "string"}),
}


def _problem_response(text: str) -> dict[str, Any]:
    return {"description": text, "content": {"application/problem+json": {}}}


_BAD_REQUEST = _problem_response("the request is invalid; `field` names the wrong part")
_STREAM_ERRORS = {
    "204": {"description": "the reader was evicted, and must not reconnect"},
    "400": _BAD_REQUEST,
    "404": _problem_response("the stored subscription does not exist or has expired"),
    "429": _problem_response("too many readers or requests of this address or user"),
    "503": _problem_response("the server has reached its limit of readers, or is shutting down"),
}
_TICK_SCHEMA = msgspec.json.schema(PublishedTick)["$defs"]["PublishedTick"]
_QUOTE_SCHEMA = msgspec.json.schema(Quote)["$defs"]["Quote"]
_QUOTE_RESPONSES = {
    "/v1/quotes": {"type": "array", "items": _QUOTE_SCHEMA},
    "/v1/quotes/{symbol}": _QUOTE_SCHEMA,
}
_PUBLISH_OPERATION = {
    "tags": ["quotes"],
    "summary": "Publish ticks",
    "description": "The body is a JSON array or NDJSON. If one tick is invalid, the server rejects the whole batch and "
    "returns the index and the field of the invalid tick.",
    "operationId": "publish_ticks",
    "parameters": [
        {
            "name": "Idempotency-Key",
            "in": "header",
            "required": False,
            "description": "a second batch with the same key publishes nothing and returns the ids of the first batch",
            "schema": {"type": "string", "maxLength": MAX_KEY_LENGTH},
        }
    ],
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"type": "array", "items": _TICK_SCHEMA},
                "example": [{"symbol": "ACME", "last": 12.5, "size": 100}],
            },
            "application/x-ndjson": {"schema": _TICK_SCHEMA},
        },
    },
    "responses": {
        "200": {
            "description": "an earlier batch had the same idempotency key; the response has the ids of that batch",
            "content": {"application/json": {}},
        },
        "201": {
            "description": "the ticks are durable; the response has their ids",
            "content": {"application/json": {}},
        },
        "400": _BAD_REQUEST,
        "413": _problem_response("the batch has too many ticks, or the body is too long"),
        "503": _problem_response("the journal cannot be written"),
    },
}


_HEAD_HEADER = {
    HEAD_HEADER: {
        "description": "the journal position of the state in the response. GET /v1/stream?since=<position> continues "
        "from this position",
        "schema": {"type": "string", "example": "m3x9f-5121"},
    }
}


def _describes_state(route: APIRoute) -> bool:
    return any(dependency.call is find_hub_state for dependency in route.dependant.dependencies)


def extend_openapi(app: FastAPI, routes: Sequence[APIRoute], *, stream_path: str, publish_path: str) -> None:
    """Add the operations for streams and for publishing to the application's OpenAPI document.

    `routes` are the other operations of the document.
    """
    generate = app.openapi
    # Version 3.2 is the first version that can describe the events of a stream, and the method QUERY.
    app.openapi_version = "3.2.0"

    def openapi() -> dict[str, Any]:
        document = generate()
        for operations in document["paths"].values():
            for operation in operations.values():
                # Remove the status 422, which FastAPI documents for invalid input, because this server answers 400 with
                # a problem document.
                if operation["responses"].pop("422", None):
                    operation["responses"]["400"] = _BAD_REQUEST
        for route in routes:
            if _describes_state(route):
                for method in route.methods or ():
                    document["paths"][route.path_format][method.lower()]["responses"]["200"]["headers"] = _HEAD_HEADER
        for path, schema in _QUOTE_RESPONSES.items():
            document["paths"][path]["get"]["responses"]["200"]["content"] = {"application/json": {"schema": schema}}
        references, schemas = event_schemas()
        document.setdefault("components", {}).setdefault("schemas", {}).update(schemas)
        _describe_answers(document)
        stream = _stream_operation(references)
        document["paths"].setdefault(stream_path, {})["get"] = stream
        document["paths"][stream_path]["query"] = {
            **stream,
            "summary": "Stream the events of a subscription in the body, which may list many symbols",
            "operationId": "query_stream",
            "requestBody": SUBSCRIPTION_BODY,
        }
        document["paths"].setdefault(publish_path, {})["post"] = _PUBLISH_OPERATION
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # the documented way to extend the document


def _describe_answers(document: dict[str, Any]) -> None:
    """Add the schemas of the answers to the operations of a document.

    Skip operations that the application does not have.
    """
    answers, schemas = rest_schemas()
    document["components"]["schemas"] |= schemas
    for (method, path), schema in answers.items():
        if path in document["paths"]:
            content = {"application/json": {"schema": schema}}
            document["paths"][path][method]["responses"]["200"]["content"] = content


def stream_parameter_schemas() -> dict[str, dict[str, Any]]:
    """Return the schema of each query parameter of a stream."""
    return {name: {**schema, "description": text} for name, (text, schema) in _PARAMETER_SCHEMAS.items()}


def _event_item(data: dict[str, Any], name: dict[str, Any] | None) -> dict[str, Any]:
    """Return the schema of one Server-Sent Event.

    `name` is the schema of the event's name, or None for an unnamed event.

    `data` is the schema of the JSON text in the event's field `data`.
    """
    fields = {
        "id": {"type": "string", "example": "m3x9f-5121"},
        "retry": {"type": "integer", "description": "the reconnect delay in milliseconds"},
        "data": {"type": "string", "contentMediaType": "application/json", "contentSchema": data},
    }
    if name is None:
        return {"type": "object", "required": ["data"], "properties": fields, "not": {"required": ["event"]}}
    return {"type": "object", "required": ["event", "data"], "properties": {"event": name, **fields}}


def _stream_response(references: Mapping[StreamEvent, dict[str, Any]]) -> dict[str, Any]:
    named = [_event_item(data, {"const": event}) for event, data in references.items() if event != StreamEvent.QUOTE]
    message_name = {"type": "string", "pattern": EVENT_NAME_PATTERN, "not": {"enum": sorted(RESERVED_EVENT_NAMES)}}
    message = _event_item(schema_reference(MESSAGE_SCHEMA_NAME), message_name)
    items = [_event_item(references[StreamEvent.QUOTE], None), *named, message]
    content = {"text/event-stream": {"itemSchema": {"oneOf": items}}}
    return {"description": "an endless stream of events", "content": content}


def _stream_operation(references: Mapping[StreamEvent, dict[str, Any]]) -> dict[str, Any]:
    parameters = [
        {"name": name, "in": "query", "required": False, "description": text, "schema": schema}
        for name, (text, schema) in _PARAMETER_SCHEMAS.items()
    ]
    header = {
        "name": "Last-Event-ID",
        "in": "header",
        "required": False,
        "description": "resume after this event. Browsers send the header when they reconnect",
        "schema": {"type": "string"},
    }
    return {
        "tags": ["stream"],
        "summary": "Stream quotes as Server-Sent Events",
        "operationId": "read_stream",
        "parameters": [*parameters, header],
        "responses": {"200": _stream_response(references), **_STREAM_ERRORS},
    }
