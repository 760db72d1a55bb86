"""What a server says of a filter."""

from __future__ import annotations

import httpx2
import msgspec

from tickwire.client.refusal import Refusal, check_url
from tickwire.client.token import Token, bearer
from tickwire.core.codec import decode
from tickwire.errors import ClientError

_SECONDS = 30.0


class Reason(msgspec.Struct, frozen=True):
    """One condition of a filter, what it compares, and whether it holds."""

    condition: str
    values: dict[str, float | str | None]
    holds: bool


class Explained(msgspec.Struct, frozen=True):
    """Whether one symbol matches, and why."""

    symbol: str
    traded: bool
    matches: bool
    reasons: list[Reason]


class Checked(msgspec.Struct, frozen=True):
    """A filter's normal form, what it looks at, and the symbols of the server's board that match now."""

    filter: str
    fields: list[str]
    cost: str
    symbols: list[str]
    explained: Explained | None = None


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
