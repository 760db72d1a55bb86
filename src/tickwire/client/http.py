"""Send requests to a server, and convert its error responses to exceptions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx2
import msgspec

from tickwire.client.token import AsyncTokenSource, bearer_header, read_token
from tickwire.errors import BatchRowError, ClientError, FilterError, InputError, TickwireError
from tickwire.redaction import redact_address

_REQUEST_TIMEOUT_S = 30.0
_MAX_PORT = 65_535
_TEMPORARY_STATUSES = {408, 425, 429, 500, 502, 503, 504}


def check_url(url: str) -> str:
    """Return `url` without a trailing slash. Raise InputError if `url` is not a valid HTTP URL."""
    if not url.startswith(("http://", "https://")) or not _has_valid_address(url):
        raise InputError(
            f"{redact_address(url)!r} is not the URL of a server", field="url", hint="example: http://127.0.0.1:8000"
        )
    return url.rstrip("/")


def _has_valid_address(url: str) -> bool:
    """Return whether a URL has a host and a port to which a socket can connect."""
    try:
        parts = httpx2.URL(url)
        parts.host.encode("idna")
    except (httpx2.InvalidURL, UnicodeError):
        return False
    return bool(parts.host) and (parts.port is None or 0 < parts.port <= _MAX_PORT)


class ErrorResponse:
    """A response of the server with an error status."""

    def __init__(self, response: httpx2.Response) -> None:
        self._status = response.status_code
        # The URL without the query string. Error messages omit the query string, because it may contain a ticket.
        self._url = response.url.copy_with(query=None)
        self._problem = _parse_problem(response)
        self._retry_after = response.headers.get("retry-after", "")

    @property
    def is_temporary(self) -> bool:
        """True if a retry of the request may succeed."""
        return self._status in _TEMPORARY_STATUSES

    @property
    def retry_after(self) -> float | None:
        """How many seconds the client should wait before a retry. None if the server does not name a time."""
        return float(self._retry_after) if self._retry_after.isdigit() else None

    def to_error(self) -> TickwireError:
        """Return the exception for this response.

        The exception is an InputError (or a subclass) if the request is wrong, and a ClientError for any other failure.
        A traceback also prints the notes of the exception: the hint of the server, and for a wrong filter the position
        of the error.
        """
        error = self._build_error()
        # The error may already contain the hint as a note. Replace its notes, so that the position of a mistake is
        # printed before the hint.
        error.__notes__ = [str(note) for note in map(self._problem.get, ("caret", "hint")) if note]
        return error

    def _build_error(self) -> TickwireError:
        problem, detail = self._problem, str(self)
        if self._status not in (400, 413, 414):
            return ClientError(detail, status=self._status)
        place = {name: problem[name] for name in ("index", "line") if name in problem}
        if place:
            return BatchRowError(detail, **place, field=problem.get("field"), hint=problem.get("hint"))
        if "position" in problem:
            return FilterError(detail, position=problem["position"], hint=problem.get("hint"))
        return InputError(detail, field=problem.get("field"), hint=problem.get("hint"))

    def __str__(self) -> str:
        return str(self._problem.get("detail") or f"{self._url} answered {self._status}")


def _parse_problem(response: httpx2.Response) -> dict[str, Any]:
    """Return the problem details (RFC 9457) in the body of a response. Return an empty dict if there are none."""
    try:
        return msgspec.json.decode(response.content, type=dict[str, Any])
    except msgspec.DecodeError:
        return {}


class HttpConnection:
    """Sends requests to the server at `url`. The first request opens the connection."""

    def __init__(self, url: str, *, headers: Mapping[str, str] | None = None, token: AsyncTokenSource = None) -> None:
        self.url = check_url(url)
        self._headers = dict(headers or {})
        self._token = token
        self._client: httpx2.AsyncClient | None = None

    async def request(self, method: str, path: str, **options: Any) -> httpx2.Response:
        """Send a request, and return the response if its status reports success.

        Raise InputError if the request is wrong. Raise ClientError if the server does not answer or rejects the request
        for another reason. `options` are passed to `httpx2.AsyncClient.request`.
        """
        if self._client is None:
            self._client = httpx2.AsyncClient(headers=self._headers, timeout=_REQUEST_TIMEOUT_S)
        headers = bearer_header(await read_token(self._token))
        try:
            response = await self._client.request(method, self.url + path, headers=headers, **options)
        except httpx2.RequestError as error:
            reason = str(error) or type(error).__name__
            raise ClientError(f"the server at {self.url} does not answer: {reason}") from None
        if not response.is_success:
            raise ErrorResponse(response).to_error()
        return response

    async def close(self) -> None:
        if self._client is not None:
            await self._client.aclose()
