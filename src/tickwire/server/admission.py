"""Who may have a stream: the bounds on readers in all, of one address, and of one user."""

from __future__ import annotations

from collections import Counter

from starlette.responses import Response

from tickwire.errors import InputError
from tickwire.hub.rights import USER
from tickwire.server.asgi import Scope
from tickwire.server.problem import problem
from tickwire.server.service import Service

_QUERY_BYTES = 32 * 1024  # a thousand symbols fit; uvicorn's own limit on a request head is 64 KB
_USER_LENGTH = 128


class Admission:
    """Answers requests that get no stream, and counts the readers of each address."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._addresses = Counter[str]()  # kept only where they are limited

    def refusal(self, scope: Scope, user: str | None) -> Response | None:
        """What to answer instead of a stream; None where there is nothing against it."""
        found = self._reason(scope, user)
        if found is None:
            return None
        reason, answer = found
        self._service.refused[reason] += 1
        return answer

    def _reason(self, scope: Scope, user: str | None) -> tuple[str, Response] | None:
        hub, limits = self._service.hub, self._service.limits
        if scope["method"] not in ("GET", "HEAD"):
            return "input", problem(405, "a stream is read with GET", headers={"allow": "GET, HEAD"})
        if len(scope["query_string"]) > _QUERY_BYTES:
            return "input", problem(414, f"the query is longer than {_QUERY_BYTES} bytes: POST /v1/subscriptions first")
        if hub.control.ending:
            return "stopping", problem(503, "the server is stopping", headers={"retry-after": "2"})
        if len(hub.roster) >= limits.readers:
            return "readers", problem(503, "the server has all the readers it takes", headers={"retry-after": "5"})
        most = limits.readers_per_address
        if most and self._addresses[_address(scope)] >= most:
            return "address", problem(429, f"an address may have {most} readers", headers={"retry-after": "5"})
        most = limits.readers_per_user
        if most and user is not None and len([*hub.roster.named(user)]) >= most:
            return "user", problem(429, f"a user may have {most} readers", headers={"retry-after": "5"})
        return None

    def enter(self, scope: Scope) -> None:
        """A reader of this address has come."""
        if self._service.limits.readers_per_address:
            self._addresses[_address(scope)] += 1

    def leave(self, scope: Scope) -> None:
        """It is gone."""
        address = _address(scope)
        if address in self._addresses:
            self._addresses[address] -= 1
            if not self._addresses[address]:
                del self._addresses[address]


def user_of(headers: dict[bytes, bytes], header: str) -> str | None:
    """The user named in the request header `header` by a proxy in front; None where no header is looked at."""
    name = headers.get(header.lower().encode()) if header else None
    if name is None:
        return None
    text = name.decode("latin-1")
    if not (0 < len(text) <= _USER_LENGTH and text.isprintable()):
        raise InputError(f"{header}: 1 to {_USER_LENGTH} printable characters", field=header)
    return USER + text


def _address(scope: Scope) -> str:
    client = scope.get("client")
    return client[0] if client else ""
