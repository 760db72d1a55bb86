"""Cross-origin requests (Fetch standard).

A web page may read responses if its origin is the server's own origin, or is in a list of allowed origins. If another
page sends a request that would change something, the server rejects the request.
"""

from __future__ import annotations

import logging
import re
from urllib.parse import urlsplit

from starlette.responses import Response

from tickwire.errors import SettingsError
from tickwire.server.http_errors import Forbidden
from tickwire.server.middleware.head_header import HEAD_HEADER
from tickwire.server.transport.asgi import Scope, first_header_value

_SAFE_METHODS = ("GET", "HEAD", "OPTIONS", "QUERY")
_ALLOWED_HEADERS = "authorization, cache-control, content-type, idempotency-key, last-event-id, x-request-id"
_EXPOSED_HEADERS = f"retry-after, x-request-id, link, tickwire-unanswered, {HEAD_HEADER.lower()}".encode()
_PREFLIGHT_MAX_AGE_S = "600"
# Browsers omit these ports in an origin.
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}
_ORIGIN = re.compile(r"https?://[a-z0-9._\-\[\]:]+")
# The log names each blocked origin once. Any client can invent origins, so the server remembers at most this number of
# origins.
_MAX_LOGGED_ORIGINS = 100
_MAX_LOGGED_CHARS = 100

log = logging.getLogger(__name__)


class Cors:
    """The origins whose web pages may read responses.

    `origins` is a comma-separated list. The constructor raises SettingsError if a part of the list is not an origin.
    With `allow_credentials`, browsers send cookies in cross-origin requests.
    """

    def __init__(self, origins: str = "", *, allow_credentials: bool = False) -> None:
        self._origins = {_parse_origin(text.strip()) for text in origins.split(",") if text.strip()}
        self._allow_credentials = allow_credentials
        self._logged_origins: set[str] = set()

    def preflight_response(self, scope: Scope) -> Response | None:
        """Return the response to a preflight request, or None for any other request."""
        if scope["method"] != "OPTIONS" or first_header_value(scope, b"access-control-request-method") is None:
            return None
        if not self._allows_origin(first_header_value(scope, b"origin")):
            self._log_blocked_origin(scope)
            return Response(status_code=403)
        headers = {
            "access-control-allow-methods": "GET, QUERY, POST, PUT, PATCH, DELETE",
            "access-control-allow-headers": _ALLOWED_HEADERS,
            "access-control-max-age": _PREFLIGHT_MAX_AGE_S,
        }
        return Response(status_code=204, headers=headers)

    def response_headers(self, scope: Scope) -> list[tuple[bytes, bytes]]:
        """Return the headers that let a web page read the response, if the origin of the page is allowed."""
        if not self._origins:
            return []
        origin = first_header_value(scope, b"origin")
        if not self._allows_origin(origin):
            return [(b"vary", b"origin")]
        assert origin is not None  # noqa: S101  # None is not allowed
        headers = [(b"access-control-allow-origin", origin.encode("latin-1")), (b"vary", b"origin")]
        if self._allow_credentials:
            headers.append((b"access-control-allow-credentials", b"true"))
        return [*headers, (b"access-control-expose-headers", _EXPOSED_HEADERS)]

    def check_origin(self, scope: Scope) -> None:
        """Raise Forbidden if a request may change something and comes from a page of a foreign origin.

        An origin is foreign if it is neither the server's own origin nor an allowed origin. The check is necessary,
        because browsers let a foreign page send requests with the user's cookies, and requests to a server on the
        user's computer. A request with the header Authorization passes the check. A page can set this header only after
        a preflight request, and the server rejects the preflight requests of foreign origins.
        """
        origin = first_header_value(scope, b"origin")
        if origin is None or self._allows_origin(origin):
            return
        own_host = first_header_value(scope, b"host")
        if own_host and _host_of(origin) == own_host:
            return
        self._log_blocked_origin(scope)
        if scope["method"] not in _SAFE_METHODS and first_header_value(scope, b"authorization") is None:
            raise Forbidden(
                f"pages of {origin[:_MAX_LOGGED_CHARS]!r} may not send changes: add the origin to --cors",
                field="origin",
            )

    def _log_blocked_origin(self, scope: Scope) -> None:
        """Log that browsers do not let pages of an origin read the responses.

        Log each origin only once. Without the log line, an operator would not notice the problem: the response may have
        the status 200, and only the browser's console shows an error.
        """
        origin = (first_header_value(scope, b"origin") or "")[:_MAX_LOGGED_CHARS]
        if origin in self._logged_origins or len(self._logged_origins) >= _MAX_LOGGED_ORIGINS:
            return
        self._logged_origins.add(origin)
        # The origin is `null` for a page from a file, and for a page in a sandbox.
        advice = "serve the page from a web server" if origin == "null" else f"add --cors {origin!r}"
        log.warning("browsers do not let pages of %r read the answers of this server (CORS): %s", origin, advice)

    def _allows_origin(self, origin: str | None) -> bool:
        return origin is not None and origin in self._origins


def _host_of(origin: str) -> str:
    """Return the host and port of an origin, or "" if the text is not a URL."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""


def _parse_origin(text: str) -> str:
    """Return an origin from the setting `cors` in the form that browsers send.

    This form is in lower case, without a default port and without a slash at the end. Raise SettingsError if `text` is
    not an origin.
    """
    if "*" in text:
        raise SettingsError(
            f"--cors {text!r} contains a wildcard, which would also let unknown pages publish prices and control the "
            "market: list each origin, such as https://app.example.org",
            field="cors",
        )
    origin, rest = _split_origin(text)
    if not origin:
        raise SettingsError(
            f"--cors {text!r} is not an origin: expected a scheme and a host, such as https://example.org",
            field="cors",
        )
    if rest not in ("", "/"):
        raise SettingsError(f"--cors {text!r} has a path or other parts after the origin: write {origin}", field="cors")
    return origin


def _split_origin(text: str) -> tuple[str, str]:
    """Return the origin of a URL and the rest of the URL. The origin is empty if the URL has none."""
    try:
        parts = urlsplit(text)
        # Encode the host in ASCII, because browsers send international host names in this form.
        host = parts.netloc.encode("idna").decode().lower().removesuffix(_DEFAULT_PORTS.get(parts.scheme, ""))
        # Read the property `port`, because it raises ValueError if the port is invalid.
        origin = f"{parts.scheme}://{host}" if parts.port != 0 else ""
    except ValueError:
        return "", ""
    return origin if _ORIGIN.fullmatch(origin) else "", parts._replace(scheme="", netloc="").geturl()
