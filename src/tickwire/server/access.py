"""Who asks, and whether that one may: decided for every request before anything looks at it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import msgspec
from starlette.responses import Response

from tickwire.errors import InputError
from tickwire.hub.rights import OPEN, Rights
from tickwire.hub.subscription import Subscription
from tickwire.server.asgi import Scope
from tickwire.server.credential import TICKET, Credential, credential
from tickwire.server.problem import problem
from tickwire.server.proxies import Proxies
from tickwire.server.refusal import Forbidden, Unauthorized
from tickwire.server.rules import Rule, methods_of
from tickwire.server.tickets import Tickets
from tickwire.server.tokens import Tokens

STREAM_PATH = "/v1/stream"
_USER_LENGTH = 128
_NO_RIGHTS = Rights()


class Access(Protocol):
    """Says who asks. `tokens` tells whether that takes one."""

    tokens: bool

    async def rights(self, scope: Scope, path: str, rule: Rule | None) -> Rights:
        """The rights of who sent this request. Unauthorized, Forbidden or Unavailable where it is not let in."""
        ...


class OpenAccess:
    """Everybody may do everything. `header` names the user, where a trusted proxy sets it."""

    tokens = False

    def __init__(self, header: str = "", proxies: Proxies | None = None) -> None:
        self._header = header
        self._name = header.lower().encode()
        self._proxies = proxies or Proxies("")

    async def rights(self, scope: Scope, path: str, rule: Rule | None) -> Rights:  # they all may
        """All rights, of the user that the proxy names."""
        if not self._name or not self._proxies.sent(scope):
            return OPEN
        given = [value for name, value in scope["headers"] if name == self._name]
        return msgspec.structs.replace(OPEN, user=self._user(given[-1])) if given else OPEN

    def _user(self, value: bytes) -> str:
        text = value.decode("latin-1")
        if not (0 < len(text) <= _USER_LENGTH and text.isprintable()):
            raise InputError(f"{self._header}: 1 to {_USER_LENGTH} printable characters", field=self._header)
        return text


class TokenAccess:
    """Only who has a token, and what it allows. `refused` says which ones were revoked."""

    tokens = True

    def __init__(
        self,
        tokens: Tokens,
        tickets: Tickets,
        refused: Callable[[Rights], bool],
        *,
        cookie: str = "",
        query: bool = False,
    ) -> None:
        self._tokens = tokens
        self._tickets = tickets
        self._refused = refused
        self._cookie = cookie
        self._query = query

    async def rights(self, scope: Scope, path: str, rule: Rule | None) -> Rights:
        """The rights that the request's token gives, if they are enough for the rule."""
        if rule is not None and rule.needs == "nothing":
            return _NO_RIGHTS
        found = credential(scope, cookie=self._cookie, query=path == STREAM_PATH)
        if found is None:
            raise Unauthorized("this needs a token: send it as 'Authorization: Bearer <token>'")
        rights = scope["state"]["rights"] = await self._rights_of(found)  # before it is refused: logs tell who it was
        if self._refused(rights):
            raise Unauthorized("the token was revoked")
        if rule is not None:
            check(rights, rule)
        return rights

    async def _rights_of(self, found: Credential) -> Rights:
        if found.way == TICKET:
            return await self._tickets.redeem(found.token)
        if found.way == "access_token" and not self._query:
            raise Unauthorized(
                "a token in the URL is not taken here", field="access_token", hint="POST /v1/tickets for a ticket"
            )
        return await self._tokens.rights(found.token)


def check(rights: Rights, rule: Rule) -> None:
    """Forbidden where these rights are not enough for the rule."""
    if rule.needs != "nothing" and rule.needs != "token" and not rights.may(rule.needs):  # noqa: PLR1714  # narrows
        raise Forbidden(f"the token's scope does not have {rule.needs!r}", field="scope")
    if rule.event is not None and not rights.gets(rule.event):
        raise Forbidden(f"the token's events do not have {rule.event!r}", field="events")


def no_rule(scope: Scope, path: str) -> Response:
    """The answer to a call that nobody has said who may make: there is none, or it was forgotten."""
    methods = methods_of(path)
    if methods:
        said = f"{scope['method']} {path}: method not allowed; /docs lists what there is"
        return problem(405, said, headers={"allow": ", ".join(methods)})
    return problem(404, f"{scope['method']} {path[:200]}: not found; /docs lists what there is")


def rights_of(scope: Scope) -> Rights:
    """The rights that were found for this request."""
    rights: Rights = scope["state"]["rights"]
    return rights


def writer(scope: Scope) -> str | None:
    """Under what name it is counted what somebody with a plain token lets the journal write; None where it is not."""
    rights = rights_of(scope)
    if rights.may("admin"):
        return None
    client = scope.get("client")
    return rights.bearer or (client[0] if client else None)


def permitted(rights: Rights, wanted: Subscription) -> Subscription:
    """What is left of a subscription within the rights; Forbidden where that is nothing."""
    if rights.interval and wanted.delivery == "all":
        raise Forbidden("the token allows an update now and then, and delivery=all is every one", field="delivery")
    left = rights.narrowed(wanted)
    if wanted.events and not left.events:
        raise Forbidden(f"the token allows none of these events: {', '.join(wanted.events)}", field="events")
    if wanted.names and not left.names and left.of_symbols:
        raise Forbidden("the token allows none of these symbols", field="symbols")
    return left


def check_symbol_allowed(rights: Rights, symbol: str) -> None:
    """Forbidden for a symbol outside the rights, whether or not there is such a symbol."""
    if not rights.symbols.takes(symbol):
        raise Forbidden(f"the token does not allow {symbol[:40]}", field="symbol")
