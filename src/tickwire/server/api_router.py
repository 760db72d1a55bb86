"""Routers of the HTTP API."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request

from tickwire.server.stream_request import parse_query
from tickwire.server.transport.asgi import path_below_mount


def create_router(tag: str) -> APIRouter:
    """Return a router whose routes reject unknown query parameters. The OpenAPI document lists them under `tag`."""
    return APIRouter(tags=[tag], dependencies=[Depends(_check_query_parameters)])


async def _check_query_parameters(request: Request) -> None:
    """Raise InputError if the request has an unknown query parameter.

    The server must not ignore an unknown parameter, because the client expects an effect of the parameter.
    """
    if request.scope["query_string"] and path_below_mount(request.scope).startswith("/v1/"):
        parameters = request.scope["route"].dependant.query_params
        parse_query(request.scope["query_string"].decode("latin-1"), [parameter.alias for parameter in parameters])
