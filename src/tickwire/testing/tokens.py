"""Tokens for tests, signed with a secret that all tests share."""

from __future__ import annotations

import time
from typing import Any

import jwt

TEST_SECRET = "a secret for tests, known to everybody who reads this"  # noqa: S105  # a secret for tests only

TOKEN_AUTH = {"auth": "secret", "auth_secret": TEST_SECRET}
"""The settings of a server that accepts the tokens of `sign_token`."""


def sign_token(scope: str = "", *, key: Any = TEST_SECRET, algorithm: str = "HS256", **claims: Any) -> str:
    """Return a token that is valid for an hour.

    `claims` replace the default claims. A claim with the value None is removed.
    """
    now = time.time()
    all_claims = {"sub": "ann", "scope": scope, "iat": now, "exp": now + 3600, **claims}
    headers = all_claims.pop("headers", None)
    payload = {name: value for name, value in all_claims.items() if value is not None}
    return jwt.encode(payload, key, algorithm, headers)


def bearer_header(token: str) -> dict[str, str]:
    """Return the Authorization header for `token`."""
    return {"authorization": f"Bearer {token}"}
