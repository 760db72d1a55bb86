"""Read the readiness and the measurements of a server."""

from __future__ import annotations

from typing import Any

import httpx2

from tickwire.client.http import ErrorResponse, check_url
from tickwire.client.token import TokenSource, bearer_header
from tickwire.core.codec import decode_json
from tickwire.errors import ClientError

_REQUEST_TIMEOUT_S = 10.0


def read_operations(url: str, *, token: TokenSource = None) -> tuple[bool, dict[str, Any]]:
    """Return whether the server at `url` is ready, and its answer to `GET /v1/operations` with the newest sample.

    Raise ClientError if the server does not answer or rejects the token.
    """
    base = check_url(url)
    try:
        with httpx2.Client(timeout=_REQUEST_TIMEOUT_S) as client:
            readiness = client.get(f"{base}/readyz")
            answer = client.get(f"{base}/v1/operations", params={"samples": 1}, headers=bearer_header(token))
    except httpx2.RequestError as error:
        raise ClientError(f"the server at {url} does not answer: {error}") from None
    if not answer.is_success:
        raise ErrorResponse(answer).to_error()
    return readiness.is_success, decode_json(answer.content, dict[str, Any])
