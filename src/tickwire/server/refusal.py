"""Why somebody is not let in, or not that far. Each carries the status it is answered with."""

from __future__ import annotations

from tickwire.errors import InputError


class Unauthorized(InputError):
    """Nobody is known to ask: there is no token, or it is not good."""

    status = 401
    headers = {"www-authenticate": "Bearer"}  # noqa: RUF012  # read only


class Forbidden(InputError):
    """It is known who asks, and that one may not."""

    status = 403


class Unavailable(InputError):
    """It cannot be known now who asks."""

    status = 503
    headers = {"retry-after": "5"}  # noqa: RUF012  # read only
