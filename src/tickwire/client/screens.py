"""What a server says of a filter."""

from __future__ import annotations

import httpx2

from tickwire.client.refusal import Refusal, check_url
from tickwire.client.token import Token, bearer
from tickwire.core.codec import decode
from tickwire.errors import ClientError
from tickwire.screens.answer import Checked

_SECONDS = 30.0


def check_filter(url: str, text: str, symbol: str | None = None, *, token: Token = None) -> Checked:
    """Ask the server at `url`. FilterError where the text is no filter; ClientError where there is no answer."""
    question = {"filter": text} if symbol is None else {"filter": text, "symbol": symbol}
    try:
        response = httpx2.post(
            f"{check_url(url)}/v1/screens/check", json=question, headers=bearer(token), timeout=_SECONDS
        )
    except httpx2.TransportError as error:
        raise ClientError(f"{url}: {error}") from None
    if not response.is_success:
        raise Refusal(response).error()
    return decode(response.content, Checked)
