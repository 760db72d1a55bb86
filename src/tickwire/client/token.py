"""Who asks, as a request says it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

Token: TypeAlias = str | Callable[[], str] | None
"""A token, or what gives one that is good now; None for servers that ask for none."""


def bearer(token: Token) -> dict[str, str]:
    """The header that carries the token."""
    if token is None:
        return {}
    return {"authorization": f"Bearer {token if isinstance(token, str) else token()}"}
