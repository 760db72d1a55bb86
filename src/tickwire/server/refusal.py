"""Why a request is refused with another status than 400: nobody knows who asks, that one may not, there is no room."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil

from tickwire.errors import InputError


class HttpProblem(InputError):
    """A request that is answered with this `status`, and with these `headers` beside the usual ones."""

    status = 400
    headers: Mapping[str, str] = {}


class Unauthorized(HttpProblem):
    """Nobody is known to ask: there is no token, or it is not good."""

    status = 401
    headers = {"www-authenticate": "Bearer"}  # noqa: RUF012  # read only


class Forbidden(HttpProblem):
    """It is known who asks, and that one may not."""

    status = 403


class Conflict(HttpProblem):
    """Others were first, again and again."""

    status = 409


class TooLarge(HttpProblem):
    """A body or a batch beyond the limit."""

    status = 413


class NotReadable(HttpProblem):
    """A body in a coding that is not read here."""

    status = 415


class TooOften(HttpProblem):
    """Over a rate. `headers` say when to come back, in `wait` seconds."""

    status = 429

    def __init__(self, message: str, wait: float) -> None:
        super().__init__(message)
        self.headers = {"retry-after": str(max(1, ceil(wait)))}


class TooMany(HttpProblem):
    """Somebody has as many of something as one may; some are let go with time."""

    status = 429
    headers = {"retry-after": "60"}  # noqa: RUF012  # read only


class Unavailable(HttpProblem):
    """It cannot be known now who asks."""

    status = 503
    headers = {"retry-after": "5"}  # noqa: RUF012  # read only


class Full(HttpProblem):
    """There is no room for what is asked."""

    status = 503
    headers = {"retry-after": "60"}  # noqa: RUF012  # read only
