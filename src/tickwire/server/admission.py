"""Who may have a stream: the bounds on readers in all, of one address, and of one user."""

from __future__ import annotations

from collections import Counter

from starlette.responses import Response

from tickwire.hub.rights import Rights
from tickwire.server.asgi import Scope
from tickwire.server.problem import problem
from tickwire.server.service import Service

_QUERY_BYTES = 32 * 1024  # a thousand symbols fit; uvicorn's own limit on a request head is 64 KB


class Admission:
    """Answers requests that get no stream, and counts the readers of each address."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._addresses = Counter[str]()  # kept only where they are limited

    def refusal(self, scope: Scope, rights: Rights) -> Response | None:
        """What to answer instead of a stream; None where there is nothing against it."""
        found = self._reason(scope, rights)
        if found is None:
            return None
        reason, answer = found
        self._service.refused[reason] += 1
        return answer

    def _reason(self, scope: Scope, rights: Rights) -> tuple[str, Response] | None:
        hubs, limits = self._service.hubs, self._service.limits
        if scope["method"] not in ("GET", "HEAD"):
            return "input", problem(405, "a stream is read with GET", headers={"allow": "GET, HEAD"})
        if len(scope["query_string"]) > _QUERY_BYTES:
            return "input", problem(414, f"the query is longer than {_QUERY_BYTES} bytes: POST /v1/subscriptions first")
        if hubs.live.control.ending:
            return "stopping", problem(503, "the server is stopping", headers={"retry-after": "2"})
        if len(hubs) >= limits.readers:
            return "readers", problem(503, "the server has all the readers it takes", headers={"retry-after": "5"})
        most = limits.readers_per_address
        if most and self._addresses[address_of(scope)] >= most:
            return "address", problem(429, f"an address may have {most} readers", headers={"retry-after": "5"})
        most = min(filter(None, (limits.readers_per_user, rights.readers)), default=0)
        if most and self._readers_of(rights) >= most:
            return "user", problem(429, f"a user may have {most} readers", headers={"retry-after": "5"})
        return None

    def _readers_of(self, rights: Rights) -> int:
        """How many readers this user has, or where tokens name no user, this token."""
        hubs = self._service.hubs
        if rights.address is not None:
            return sum(len([*hub.roster.named(rights.address)]) for hub in hubs)
        if rights.token is None:
            return 0
        return sum(reader.who.rights.token == rights.token for hub in hubs for reader in hub.roster.channels)

    def enter(self, scope: Scope) -> None:
        """A reader of this address has come."""
        if self._service.limits.readers_per_address:
            self._addresses[address_of(scope)] += 1

    def leave(self, scope: Scope) -> None:
        """It is gone."""
        address = address_of(scope)
        if address in self._addresses:
            self._addresses[address] -= 1
            if not self._addresses[address]:
                del self._addresses[address]


def address_of(scope: Scope) -> str:
    """The address that the request came from, or that a trusted proxy names; nothing for a local socket."""
    client = scope.get("client")
    return client[0] if client else ""
