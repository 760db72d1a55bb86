"""Pages of other origins: which may read answers; none may act in a visitor's name (Fetch standard, CORS)."""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.responses import Response

from tickwire.errors import SettingsError
from tickwire.server.asgi import Scope
from tickwire.server.refusal import Forbidden

_SAFE = ("GET", "HEAD", "OPTIONS")
_ALLOWED_HEADERS = "authorization, cache-control, content-type, idempotency-key, last-event-id, x-request-id"
_EXPOSED = b"retry-after, x-request-id, link, tickwire-unanswered"
_PREFLIGHT_SECONDS = "600"


class Cors:
    """`origins` are those whose pages may read answers, as a comma list; with `credentials` cookies count for them."""

    def __init__(self, origins: str = "", *, credentials: bool = False) -> None:
        self._origins = {_origin(text.strip()) for text in origins.split(",") if text.strip()}
        self._credentials = credentials

    def preflight(self, scope: Scope) -> Response | None:
        """The answer to a browser that asks whether a page may send a request; None for other requests."""
        if scope["method"] != "OPTIONS" or _header(scope, b"access-control-request-method") is None:
            return None
        if not self._allows(_header(scope, b"origin")):
            return Response(status_code=403)
        headers = {
            "access-control-allow-methods": "GET, POST, PUT, PATCH, DELETE",
            "access-control-allow-headers": _ALLOWED_HEADERS,
            "access-control-max-age": _PREFLIGHT_SECONDS,
        }
        return Response(status_code=204, headers=headers)

    def headers(self, scope: Scope) -> list[tuple[bytes, bytes]]:
        """What lets a page read the answer; nothing for origins that are not listed."""
        if not self._origins:
            return []
        origin = _header(scope, b"origin")
        if not self._allows(origin):
            return [(b"vary", b"origin")]
        assert origin is not None  # noqa: S101  # None is not allowed
        found = [(b"access-control-allow-origin", origin.encode("latin-1")), (b"vary", b"origin")]
        if self._credentials:
            found.append((b"access-control-allow-credentials", b"true"))
        return [*found, (b"access-control-expose-headers", _EXPOSED)]

    def check(self, scope: Scope) -> None:
        """Forbidden for a request that changes something, sent by a page of an origin that is not listed.

        Browsers send cookies, and reach loopback addresses, for any page there is; a header of its own only a page that
        passed `preflight` can send, so who has a token in a header is believed.
        """
        if scope["method"] in _SAFE or _header(scope, b"authorization") is not None:
            return
        origin = _header(scope, b"origin")
        if origin is None or self._allows(origin):
            return
        if urlsplit(origin).netloc != _header(scope, b"host"):
            raise Forbidden(f"pages of {origin[:100]} may not do this: --cors lists those that may", field="origin")

    def _allows(self, origin: str | None) -> bool:
        return origin is not None and origin in self._origins


def _header(scope: Scope, name: bytes) -> str | None:
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), None)


def _origin(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.netloc or parts.path or parts.query:
        raise SettingsError(f"--cors {text!r} is no origin: expected such as https://example.org", field="cors")
    return text
