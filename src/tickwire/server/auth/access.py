"""Access policies. A policy authenticates each request and checks the rights of the client before a route runs."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol

import msgspec
from starlette.responses import Response

from tickwire.errors import InputError
from tickwire.server.auth.credential import TICKET_PARAMETER, Credential, find_credential
from tickwire.server.auth.rules import PUBLIC, STREAM_PATH, Rule, allowed_methods
from tickwire.server.auth.tickets import Tickets
from tickwire.server.auth.tokens import TokenVerifier
from tickwire.server.http_errors import Forbidden, Unauthorized
from tickwire.server.problem import problem
from tickwire.server.transport.asgi import Scope, client_address, client_network, header_values, parse_address
from tickwire.server.transport.proxies import TrustedProxies
from tickwire.sessions.rights import UNRESTRICTED_RIGHTS, Rights
from tickwire.sessions.subscription import Subscription

log = logging.getLogger(__name__)

_MAX_USER_LENGTH = 128
_NO_RIGHTS = Rights()


class AccessPolicy(Protocol):
    """The interface of an access policy, which decides the rights of each request.

    `requires_tokens` is False if a client without a token has all rights.
    """

    requires_tokens: bool

    async def authorize(self, scope: Scope, path: str, rule: Rule | None) -> Rights:
        """Return the rights of the client.

        Raise Unauthorized, Forbidden or AuthUnavailable to reject the request.
        """
        ...


class OpenAccess:
    """The policy of a server without authentication: every request has all rights.

    A trusted proxy may name the user in the request header `user_header`. If `is_exposure_expected` is False, the
    server logs a warning at the first request from another machine.
    """

    requires_tokens = False

    def __init__(
        self, user_header: str = "", proxies: TrustedProxies | None = None, *, is_exposure_expected: bool = True
    ) -> None:
        self._warns_about_exposure = not is_exposure_expected
        self._user_header = user_header
        self._user_header_key = user_header.lower().encode()
        self._proxies = proxies or TrustedProxies("")

    async def authorize(self, scope: Scope, path: str, rule: Rule | None) -> Rights:
        """Return all rights, with the user name that the proxy sent. Raise InputError if the user name is invalid."""
        if self._warns_about_exposure and rule != PUBLIC:
            self._warn_if_exposed(scope)
        if not self._user_header_key or not self._proxies.is_forwarded(scope):
            return UNRESTRICTED_RIGHTS
        users = header_values(scope, self._user_header_key)
        if not users:
            return UNRESTRICTED_RIGHTS
        return msgspec.structs.replace(UNRESTRICTED_RIGHTS, user=self._check_user(users[-1]))

    def _warn_if_exposed(self, scope: Scope) -> None:
        client = parse_address(client_address(scope))
        if client is None or client.is_loopback or self._proxies.is_forwarded(scope):
            return
        self._warns_about_exposure = False
        log.warning(
            "a client on another machine (%s) uses this server, which has no authentication: everyone who can connect "
            "can read, publish and evict readers. Set auth=, or insecure=True if a proxy or firewall checks clients",
            client,
        )

    def _check_user(self, user: str) -> str:
        if not (0 < len(user) <= _MAX_USER_LENGTH and user.isprintable()):
            raise InputError(
                f"invalid {self._user_header} {user[:40]!r}: expected 1 to {_MAX_USER_LENGTH} printable characters",
                field=self._user_header,
            )
        return user


class TokenAccess:
    """The policy of a server that requires tokens. A request has the rights of its token or ticket.

    `is_revoked` receives the rights of a token, and returns whether an admin has revoked the token.
    """

    requires_tokens = True

    def __init__(
        self,
        token_verifier: TokenVerifier,
        tickets: Tickets,
        is_revoked: Callable[[Rights], bool],
        *,
        cookie_name: str = "",
        allow_query_token: bool = False,
    ) -> None:
        self._token_verifier = token_verifier
        self._tickets = tickets
        self._is_revoked = is_revoked
        self._cookie_name = cookie_name
        self._allow_query_token = allow_query_token

    async def authorize(self, scope: Scope, path: str, rule: Rule | None) -> Rights:
        """Return the rights of the request's token. Raise Forbidden if the token lacks a required right."""
        if rule is not None and rule.requirement == "nothing":
            return _NO_RIGHTS
        if rule is not None and rule.requirement == "optional token":
            return await self._verify_optional_token(scope, path)
        return await self._verify_required_token(scope, path, rule)

    async def _verify_optional_token(self, scope: Scope, path: str) -> Rights:
        """Return the rights of the request's token. Return no rights if the request has no valid token."""
        try:
            return await self._verify_required_token(scope, path, None)
        except InputError:
            return _NO_RIGHTS

    async def _verify_required_token(self, scope: Scope, path: str, rule: Rule | None) -> Rights:
        credential = find_credential(scope, cookie_name=self._cookie_name, allow_query=path == STREAM_PATH)
        if credential is None:
            raise Unauthorized("the request has no token: send the header 'Authorization: Bearer <token>'")
        # Store the rights before the other checks, so that the log of a rejected request contains the user.
        rights = scope["state"]["rights"] = await self._verify_credential(credential, client_network(scope))
        if self._is_revoked(rights):
            raise Unauthorized("the token was revoked")
        if rule is not None:
            enforce_rule(rights, rule)
        return rights

    async def _verify_credential(self, credential: Credential, address: str) -> Rights:
        if credential.source == TICKET_PARAMETER:
            return await self._tickets.redeem(credential.token, address)
        if credential.source == "access_token" and not self._allow_query_token:
            raise Unauthorized(
                "this server accepts no tokens in URLs",
                field="access_token",
                hint="request a ticket with POST /v1/tickets",
            )
        return await self._token_verifier.verify(credential.token)


def enforce_rule(rights: Rights, rule: Rule) -> None:
    """Raise Forbidden if the client lacks a right that the access rule of the API call requires."""
    match rule.requirement:
        case "nothing" | "optional token" | "token":
            pass
        case scope if not rights.has_scope(scope):
            raise Forbidden(f"the token lacks the scope {scope!r}", field="scope")
    if rule.required_event_kind is not None and not rights.allows_event(rule.required_event_kind):
        raise Forbidden(f"the token does not allow {rule.required_event_kind!r} events", field="events")


def unknown_route_response(scope: Scope, path: str) -> Response:
    """Return the response to a request for which no access rule exists.

    The status is 405 if rules exist for other methods of the same path. Otherwise the status is 404.
    """
    methods = allowed_methods(path)
    if methods:
        detail = f"{scope['method']} {path}: method not allowed; /docs lists the API"
        return problem(405, detail, headers={"allow": ", ".join(methods)})
    return problem(404, f"{scope['method']} {path[:200]}: not found; /docs lists the API")


def request_rights(scope: Scope) -> Rights:
    """Return the rights that the access policy has stored for this request."""
    rights: Rights = scope["state"]["rights"]
    return rights


def is_anonymous(scope: Scope) -> bool:
    """Return whether the server requires tokens, and the request has no valid token."""
    return request_rights(scope) is _NO_RIGHTS


def bearer_of(scope: Scope) -> str | None:
    """Return the name under which the server counts the client's requests for a limit (see `Rights.bearer`)."""
    return request_rights(scope).bearer(client_network(scope))


def restrict_subscription(rights: Rights, requested: Subscription) -> Subscription:
    """Return the part of a subscription that the rights of the client allow.

    Raise Forbidden if the rights allow no part of the subscription. Also raise Forbidden if the client requests
    `delivery=all`, but the token sets a minimum interval between updates. With an interval, the server must skip
    events, but `delivery=all` requires all events.
    """
    if rights.interval and requested.delivery == "all":
        raise Forbidden(
            f"the token allows one update per symbol in {rights.interval} ms: choose delivery=latest, or use a "
            "token without an interval",
            field="delivery",
        )
    allowed = rights.restrict(requested)
    if allowed is requested:
        return allowed
    if requested.events and not allowed.events:
        raise Forbidden(f"the token allows none of these events: {', '.join(requested.events)}", field="events")
    if requested.symbols_and_patterns and not allowed.symbols_and_patterns and allowed.wants_symbol_events:
        raise Forbidden("the token allows none of the requested symbols", field="symbols")
    return allowed
