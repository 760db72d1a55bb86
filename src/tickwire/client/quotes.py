"""Find out which symbols have no quote on a server."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from fnmatch import fnmatchcase

import httpx2
import msgspec

from tickwire.client.http import ErrorResponse, check_url
from tickwire.client.token import TokenSource, bearer_header
from tickwire.core.codec import decode_json
from tickwire.errors import ClientError

_REQUEST_TIMEOUT_S = 30.0


class _SymbolOfQuote(msgspec.Struct):
    symbol: str


async def find_missing_symbols(
    url: str, patterns: Iterable[str], *, token: TokenSource = None
) -> dict[str, str | None]:
    """Find the symbols and patterns in `patterns` that have no quote on the server at `url`.

    Return a mapping from each of these patterns to the most similar symbol with a quote (None if no symbol is similar).
    Raise ClientError if the server does not answer.
    """
    wanted = [*patterns]
    # Also request all symbols with the same first letter, to suggest the most similar symbol.
    similar = {f"{pattern[:1].upper()}*" for pattern in wanted}
    try:
        async with httpx2.AsyncClient(timeout=_REQUEST_TIMEOUT_S) as client:
            response = await client.get(
                f"{check_url(url)}/v1/quotes",
                params={"symbols": ",".join([*wanted, *sorted(similar)])},
                headers=bearer_header(token),
            )
    except httpx2.RequestError as error:
        raise ClientError(f"the server at {url} does not answer: {error}") from None
    if not response.is_success:
        raise ErrorResponse(response).to_error()
    symbols = [quote.symbol for quote in decode_json(response.content, list[_SymbolOfQuote])]
    missing = [pattern for pattern in wanted if not any(fnmatchcase(symbol, pattern) for symbol in symbols)]
    return {pattern: next(iter(get_close_matches(pattern.upper(), symbols, 1)), None) for pattern in missing}
