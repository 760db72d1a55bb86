"""Exceptions for invalid requests whose HTTP status is not 400."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from math import ceil

from tickwire.errors import FilterShareExceeded, InputError, ScreenLimitReached


class HttpError(InputError):
    """A request error with its own HTTP `status`. The server adds `headers` to the response."""

    status = 400
    headers: Mapping[str, str] = {}


class Unauthorized(HttpError):
    """The request has no valid credential."""

    status = 401
    headers = {"www-authenticate": "Bearer"}  # noqa: RUF012  # read only


class Forbidden(HttpError):
    """The server knows the client, but the client lacks the required right."""

    status = 403


class Conflict(HttpError):
    """The server could not change subscriptions, because another request changed them first at every attempt."""

    status = 409


class TooLarge(HttpError):
    """A request body or a batch of ticks is larger than the server accepts."""

    status = 413


QUERY_MEDIA_TYPE = "application/json"
"""The content type of the body of a QUERY request (RFC 10008)."""


class UnsupportedMediaType(HttpError):
    """The body of a QUERY request has a wrong content type, or none."""

    status = 415
    headers = {"accept-query": QUERY_MEDIA_TYPE}  # noqa: RUF012  # read only


class UnsupportedContentEncoding(HttpError):
    """The request body has a content encoding that the server cannot decode."""

    status = 415


class RateLimited(HttpError):
    """A client sent requests faster than a rate limit allows.

    The Retry-After header is the number of seconds after which the client may retry.
    """

    status = 429

    def __init__(self, message: str, retry_after_s: float) -> None:
        self.retry_after_s = retry_after_s
        seconds = max(1, ceil(retry_after_s))
        super().__init__(f"{message}: retry after {seconds} s")
        self.headers = {"retry-after": str(seconds)}


class QuotaExceeded(HttpError):
    """The user cannot store or change another subscription, because a limit per user is reached.

    A retry may succeed later, because the server deletes stored and changed subscriptions that no reader uses.
    """

    status = 429
    headers = {"retry-after": "60"}  # noqa: RUF012  # read only


class ServerStopping(HttpError):
    """The server ends a request of unlimited length, because the server stops."""

    status = 503
    headers = {"retry-after": "1"}  # noqa: RUF012  # read only


class AuthUnavailable(HttpError):
    """The server cannot verify a credential at the moment."""

    status = 503
    headers = {"retry-after": "5"}  # noqa: RUF012  # read only


class ServerFull(HttpError):
    """The request exceeds a limit that all clients of the server share."""

    status = 503
    headers = {"retry-after": "60"}  # noqa: RUF012  # read only


@contextmanager
def filter_limits_as_problems() -> Iterator[None]:
    """Convert an exception that reports an exceeded filter limit to an HTTP error."""
    try:
        yield
    except (ScreenLimitReached, FilterShareExceeded) as error:
        raise filter_limit_problem(error) from None


def filter_limit_problem(error: ScreenLimitReached | FilterShareExceeded) -> HttpError:
    """Return the HTTP error for an exceeded filter limit.

    The status is 503 for a limit of the whole server, and 429 for a limit of one client.
    """
    if isinstance(error, FilterShareExceeded):
        return QuotaExceeded(str(error), field="filter")
    return ServerFull("the server has reached its limit of filters of this kind: use a simpler filter", field="filter")
