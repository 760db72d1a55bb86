"""The hands on the feed, over HTTP: commands, state, and the model of a simulated market."""

from __future__ import annotations

from typing import Any

import msgspec
from fastapi import APIRouter, Request
from starlette.responses import Response

from tickwire.core.codec import decode
from tickwire.errors import InputError
from tickwire.feeds.control import COMMANDS
from tickwire.server.audit import note
from tickwire.server.body import decode_body, read_body
from tickwire.server.problem import problem
from tickwire.server.service import Service

routes = APIRouter(tags=["simulator"])
_BODY_BYTES = 4 * 1024
_SCENARIO_BYTES = 64 * 1024
_EXAMPLE = f'example: {{"command": "PAUSE"}}; one of {COMMANDS}'
_SCHEMA = {
    "type": "object",
    "required": ["command"],
    "properties": {"command": {"type": "string", "description": COMMANDS, "example": "SPEED=5"}},
}
_COMMAND = {"requestBody": {"required": True, "content": {"application/json": {"schema": _SCHEMA}}}}
_WRONG: dict[int | str, dict[str, Any]] = {
    400: {"description": "what is wrong, and what would do", "content": {"application/problem+json": {}}}
}
_NONE: dict[int | str, dict[str, Any]] = {
    404: {"description": "nothing is simulated here", "content": {"application/problem+json": {}}}
}
_MODEL = {"requestBody": {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}}}
_SCENARIO = {"requestBody": {"required": True, "content": {"text/plain": {"schema": {"type": "string"}}}}}


class _Order(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a client asks for."""

    command: str


@routes.get("/v1/simulator", response_class=Response)
async def read_simulator(request: Request) -> Response:
    """State, speed and market time of the feed, its model and scenario, and which commands it takes."""
    service: Service = request.app.state.service
    return _state(await service.reception.describe())


@routes.post("/v1/simulator", response_class=Response, openapi_extra=_COMMAND, responses=_WRONG)
async def control_simulator(request: Request) -> Response:
    """Control the feed, simulated or replayed; every reader of `status` is told. Answers the state after it."""
    service: Service = request.app.state.service
    order = decode_body(await read_body(request, _BODY_BYTES), _Order, "the order", hint=_EXAMPLE)
    note(request.scope, command=order.command[:200])
    return _state(await service.reception.obey(order.command))


@routes.get("/v1/simulator/model", response_class=Response, responses=_NONE)
async def read_simulator_model(request: Request) -> Response:
    """The model in use."""
    service: Service = request.app.state.service
    model = await service.reception.model()
    if model is None:
        return problem(404, f"this server has no model: its prices are {service.mode}")
    return Response(model, media_type="application/json")


@routes.put("/v1/simulator/model", response_class=Response, openapi_extra=_MODEL, responses=_WRONG)
async def put_simulator_model(request: Request) -> Response:
    """Use another model from the next step on; prices go on from where they are. A bad one changes nothing."""
    service: Service = request.app.state.service
    state = await service.reception.put(await read_body(request, service.limits.body_bytes))
    note(request.scope, model=decode(state, dict[str, Any])["model"])
    return _state(state)


@routes.put("/v1/simulator/scenario", response_class=Response, openapi_extra=_SCENARIO, responses=_WRONG)
async def put_simulator_scenario(request: Request) -> Response:
    """Play the scenario of a TOML file from now on, in place of the one before. A bad one changes nothing."""
    body = await read_body(request, _SCENARIO_BYTES)
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise InputError(f"scenario: {error}", field="scenario") from None
    return await _stage(request, text)


@routes.delete("/v1/simulator/scenario", response_class=Response, responses=_WRONG)
async def end_simulator_scenario(request: Request) -> Response:
    """Play no scenario any more; what it still holds is let go."""
    return await _stage(request, None)


async def _stage(request: Request, text: str | None) -> Response:
    service: Service = request.app.state.service
    state = await service.reception.stage(text)
    note(request.scope, scenario=decode(state, dict[str, Any])["scenario"])
    return _state(state)


def _state(state: bytes) -> Response:
    return Response(state, media_type="application/json")
