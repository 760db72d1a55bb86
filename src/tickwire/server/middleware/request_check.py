"""The checks that every request passes before its endpoint runs."""

from __future__ import annotations

from starlette.responses import Response

from tickwire.errors import InputError, JournalError
from tickwire.server.auth.access import unknown_route_response
from tickwire.server.auth.rules import PUBLIC, rule_for
from tickwire.server.middleware.guard import Exchange, Guard
from tickwire.server.problem import input_problem, journal_problem
from tickwire.server.transport.asgi import Scope, client_network


async def find_rejection(guard: Guard, scope: Scope, exchange: Exchange) -> Response | None:
    """Check a request. The cheapest check runs first.

    Return the error response if a check fails. Return None if the request passes all checks.
    """
    path = exchange.path
    try:
        guard.proxies.resolve_client(scope)
        guard.check_rate(client_network(scope), path)
        preflight = guard.cors.preflight_response(scope)
        if preflight is not None:
            return preflight
        guard.cors.check_origin(scope)
        exchange.rule = rule_for(scope["method"], path)
        if exchange.rule != PUBLIC and not guard.proxies.is_forwarded(scope):
            guard.host_check.check(scope)
        rights = scope["state"]["rights"] = await guard.access.authorize(scope, path, exchange.rule)
        guard.check_rate(rights.user_target, path)
    except InputError as error:
        return input_problem(error)
    except JournalError as error:
        return journal_problem(error, scope["state"].get("rights"))
    return unknown_route_response(scope, path) if exchange.rule is None and guard.access.requires_tokens else None
