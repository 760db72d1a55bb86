"""Read a client's token, and create the Authorization header that contains it."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import TypeAlias

TokenSource: TypeAlias = str | Callable[[], str] | None
"""A token, a function that returns a valid token, or None for a server that requires no token."""

AsyncTokenSource: TypeAlias = str | Callable[[], str | Awaitable[str]] | None
"""A token, or a function or a coroutine function that returns a valid token."""


def bearer_header(token: TokenSource) -> dict[str, str]:
    """Return the Authorization header for `token`, or an empty dict if `token` is None."""
    if token is None:
        return {}
    return {"authorization": f"Bearer {token if isinstance(token, str) else token()}"}


async def read_token(source: AsyncTokenSource) -> str | None:
    """Return the token of `source`. Call `source` if it is a function."""
    if source is None or isinstance(source, str):
        return source
    token = source()
    return await token if inspect.isawaitable(token) else token
