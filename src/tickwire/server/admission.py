"""Who may have a stream: the bounds on readers in all, of one address, and of one user."""

from __future__ import annotations

from collections import Counter

from starlette.responses import Response

from tickwire.hub.rights import TOKEN, Rights
from tickwire.server.asgi import Scope
from tickwire.server.problem import problem
from tickwire.server.service import Service

_QUERY_BYTES = 32 * 1024  # a thousand symbols fit; uvicorn's own limit on a request head is 64 KB

_ALL = ""
_ADDRESS = "address:"


class Admission:
    """Gives a place to each request for a stream, from before it is looked at until it is over.

    Places are counted, not readers: between a request and its reader there is waiting, for the journal or for history,
    and whoever waits together must not all find the same place free.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._held = Counter[str]()  # places, by who has them

    def enter(self, scope: Scope, rights: Rights) -> Response | None:
        """Take a place, for which `leave` must follow; what to answer instead where there is none."""
        found = self._reason(scope, rights)
        if found is None:
            for holder in self._holders(scope, rights):
                self._held[holder] += 1
            return None
        reason, answer = found
        self._service.refused[reason] += 1
        return answer

    def leave(self, scope: Scope, rights: Rights) -> None:
        """Give the place back."""
        for holder in self._holders(scope, rights):
            self._held[holder] -= 1
            if not self._held[holder]:
                del self._held[holder]

    def _reason(self, scope: Scope, rights: Rights) -> tuple[str, Response] | None:
        hubs, limits, held = self._service.hubs, self._service.limits, self._held
        if scope["method"] not in ("GET", "HEAD"):
            return "input", problem(405, "a stream is read with GET", headers={"allow": "GET, HEAD"})
        if len(scope["query_string"]) > _QUERY_BYTES:
            return "input", problem(414, f"the query is longer than {_QUERY_BYTES} bytes: POST /v1/subscriptions first")
        if hubs.live.control.ending:
            return "stopping", problem(503, "the server is stopping", headers={"retry-after": "2"})
        if held[_ALL] >= limits.readers:
            return "readers", problem(503, "the server has all the readers it takes", headers={"retry-after": "5"})
        most = limits.readers_per_address
        if most and held[_ADDRESS + address_of(scope)] >= most:
            return "address", problem(429, f"an address may have {most} readers", headers={"retry-after": "5"})
        most = min(filter(None, (limits.readers_per_user, rights.readers)), default=0)
        if most and held[_bearer(rights)] >= most:
            return "user", problem(429, f"a user may have {most} readers", headers={"retry-after": "5"})
        return None

    def _holders(self, scope: Scope, rights: Rights) -> list[str]:
        """Under what names a request's place is counted."""
        bearer = _bearer(rights)
        limited = self._service.limits.readers_per_address
        return [_ALL, *[_ADDRESS + address_of(scope)] * bool(limited), *[bearer] * bool(bearer)]


def _bearer(rights: Rights) -> str:
    """The user, or where tokens name no user, the token; nothing where nobody is known to ask."""
    return rights.address or (f"{TOKEN}{rights.token}" if rights.token is not None else "")


def address_of(scope: Scope) -> str:
    """The address that the request came from, or that a trusted proxy names; nothing for a local socket."""
    client = scope.get("client")
    return client[0] if client else ""
