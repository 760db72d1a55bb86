"""Check a filter with a request to a server."""

from __future__ import annotations

import httpx2

from tickwire.client.http import ErrorResponse, check_url
from tickwire.client.token import TokenSource, bearer_header
from tickwire.core.codec import decode_json
from tickwire.errors import ClientError
from tickwire.screens.explanation import FilterCheckResult

_REQUEST_TIMEOUT_S = 30.0


def check_filter(url: str, text: str, symbol: str | None = None, *, token: TokenSource = None) -> FilterCheckResult:
    """Ask the server at `url` to check the filter expression `text`.

    If `symbol` is set, the result explains why this symbol matches or does not match. Raise FilterError if `text` is
    not a valid filter, and ClientError if the server does not answer.
    """
    body = {"filter": text} if symbol is None else {"filter": text, "symbol": symbol}
    try:
        response = httpx2.post(
            f"{check_url(url)}/v1/screens/check", json=body, headers=bearer_header(token), timeout=_REQUEST_TIMEOUT_S
        )
    except httpx2.RequestError as error:
        raise ClientError(f"the server at {url} does not answer: {error}") from None
    if not response.is_success:
        raise ErrorResponse(response).to_error()
    return decode_json(response.content, FilterCheckResult)
