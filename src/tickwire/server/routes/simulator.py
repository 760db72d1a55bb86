"""Control the feed over HTTP: playback commands, state, simulation model and scenario."""

from __future__ import annotations

from typing import Any

import msgspec
from fastapi import Request
from starlette.responses import Response

from tickwire.core.codec import decode_json
from tickwire.errors import InputError
from tickwire.feeds.playback_commands import COMMAND_SYNTAX
from tickwire.server.api_router import create_router
from tickwire.server.auth.access import request_rights
from tickwire.server.feed_state import restrict_feed_state
from tickwire.server.hub_state import StateOfHub
from tickwire.server.middleware.audit import add_audit_details
from tickwire.server.problem import problem
from tickwire.server.service import Service
from tickwire.server.transport.body import decode_body, read_body

routes = create_router("simulator")
_MAX_COMMAND_BYTES = 4 * 1024
_MAX_SCENARIO_BYTES = 64 * 1024
_COMMAND_HINT = f'example: {{"command": "PAUSE"}}; one of {COMMAND_SYNTAX}'
_COMMAND_SCHEMA = {
    "type": "object",
    "required": ["command"],
    "properties": {"command": {"type": "string", "description": COMMAND_SYNTAX, "example": "SPEED=5"}},
}
_COMMAND_BODY = {"requestBody": {"required": True, "content": {"application/json": {"schema": _COMMAND_SCHEMA}}}}
_BAD_REQUEST_RESPONSE: dict[int | str, dict[str, Any]] = {
    400: {
        "description": "the request is invalid; `hint` suggests a correction",
        "content": {"application/problem+json": {}},
    }
}
_NO_MODEL_RESPONSE: dict[int | str, dict[str, Any]] = {
    404: {"description": "the feed is not a simulator", "content": {"application/problem+json": {}}}
}
_MODEL_BODY = {"requestBody": {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}}}
_SCENARIO_BODY = {"requestBody": {"required": True, "content": {"text/plain": {"schema": {"type": "string"}}}}}


class _CommandRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    command: str


@routes.get("/v1/simulator", response_class=Response)
async def read_simulator(request: Request, _state: StateOfHub) -> Response:
    """Return the feed's state, speed, market time, model, scenario and supported commands.

    The member `notice_detail` contains the details of the member `notice`. `notice_detail` is null for clients without
    the scope `admin`, because it may contain a path or an address.
    """
    service: Service = request.app.state.service
    return await _state_response(request, await service.feed_proxy.describe())


@routes.post("/v1/simulator", response_class=Response, openapi_extra=_COMMAND_BODY, responses=_BAD_REQUEST_RESPONSE)
async def control_simulator(request: Request, _state: StateOfHub) -> Response:
    """Run a command on a simulated or replayed feed. Return the feed's new state.

    Readers that subscribe to `status` events receive the new state.
    """
    service: Service = request.app.state.service
    body = decode_body(await read_body(request, _MAX_COMMAND_BYTES), _CommandRequest, "the command", hint=_COMMAND_HINT)
    add_audit_details(request.scope, command=body.command[:200])
    return await _state_response(request, await service.feed_proxy.run_command(body.command))


@routes.get("/v1/simulator/model", response_class=Response, responses=_NO_MODEL_RESPONSE)
async def read_simulator_model(request: Request, _state: StateOfHub) -> Response:
    """Return the current simulation model."""
    service: Service = request.app.state.service
    model = await service.feed_proxy.read_model()
    if model is None:
        return problem(404, f"this server has no simulation model: the mode of its feed is {service.mode!r}")
    return Response(model, media_type="application/json")


@routes.put("/v1/simulator/model", response_class=Response, openapi_extra=_MODEL_BODY, responses=_BAD_REQUEST_RESPONSE)
async def put_simulator_model(request: Request, _state: StateOfHub) -> Response:
    """Replace the simulation model from the next simulation step on.

    Prices continue from their current values. If the new model is invalid, the current model stays in effect.
    """
    service: Service = request.app.state.service
    state = await service.feed_proxy.replace_model(await read_body(request, service.limits.max_body_bytes))
    add_audit_details(request.scope, model=decode_json(state, dict[str, Any])["model"])
    return await _state_response(request, state)


@routes.put(
    "/v1/simulator/scenario", response_class=Response, openapi_extra=_SCENARIO_BODY, responses=_BAD_REQUEST_RESPONSE
)
async def put_simulator_scenario(request: Request, _state: StateOfHub) -> Response:
    """Replace the current scenario with the scenario in the TOML body.

    If the new scenario is invalid, the current scenario stays in effect.
    """
    body = await read_body(request, _MAX_SCENARIO_BYTES)
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise InputError(f"the scenario is not valid UTF-8: {error}", field="scenario") from None
    return await _set_scenario(request, text)


@routes.delete("/v1/simulator/scenario", response_class=Response, responses=_BAD_REQUEST_RESPONSE)
async def end_simulator_scenario(request: Request, _state: StateOfHub) -> Response:
    """End the current scenario. Trading resumes in the symbols that the scenario halted."""
    return await _set_scenario(request, None)


async def _set_scenario(request: Request, text: str | None) -> Response:
    service: Service = request.app.state.service
    state = await service.feed_proxy.set_scenario(text)
    add_audit_details(request.scope, scenario=decode_json(state, dict[str, Any])["scenario"])
    return await _state_response(request, state)


async def _state_response(request: Request, state: bytes) -> Response:
    visible = await restrict_feed_state(request.app.state.service, request_rights(request.scope), state)
    return Response(visible, media_type="application/json")
