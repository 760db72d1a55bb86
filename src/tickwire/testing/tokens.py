"""Tokens for tests: signed with a secret that everybody can read here."""

from __future__ import annotations

import time
from typing import Any

import jwt

SECRET = "a secret for tests, known to everybody who reads this"  # noqa: S105  # it protects nothing


def token(scope: str = "", *, key: Any = SECRET, algorithm: str = "HS256", **claims: Any) -> str:
    """A token good for an hour, unless the claims say otherwise; a claim that is None is left out."""
    now = time.time()
    said = {"sub": "ann", "scope": scope, "iat": now, "exp": now + 3600, **claims}
    headers = said.pop("headers", None)
    return jwt.encode({name: value for name, value in said.items() if value is not None}, key, algorithm, headers)


def bearer(text: str) -> dict[str, str]:
    """The request header that carries a token."""
    return {"authorization": f"Bearer {text}"}
