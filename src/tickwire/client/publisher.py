"""Sending ticks to a server, each batch exactly once."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from typing import Any

import httpx2

from tickwire.client.backoff import Backoff
from tickwire.client.refusal import Refusal, check_url
from tickwire.client.token import Token, bearer
from tickwire.clock import Clock, SystemClock
from tickwire.core.codec import decode, encode_lines
from tickwire.core.published import Published
from tickwire.core.tick import Tick
from tickwire.errors import ClientError

_SECONDS = 30.0  # for one request


class Publisher:
    """Publishes to the server at `url`. Use it in an `async with`.

    A request that fails is repeated with the same key, so that a batch counts once even if an answer was lost: each
    batch up to `attempts` times, with waits like those of `backoff`. `token` says who publishes; a function is called
    with each request, for tokens that expire.
    """

    def __init__(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        token: Token = None,
        attempts: int = 8,
        clock: Clock | None = None,
        backoff: Backoff | None = None,
    ) -> None:
        self._client = httpx2.AsyncClient(base_url=check_url(url), headers=headers, timeout=_SECONDS)
        self._token = token
        self._attempts = attempts
        self._clock = clock or SystemClock()
        self._backoff = backoff or Backoff()

    async def __aenter__(self) -> Publisher:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Let go of the connection."""
        await self._client.aclose()

    async def publish(self, ticks: Iterable[Tick | Mapping[str, Any]], *, key: str | None = None) -> Published:
        """Send one batch: all of it is taken or none. Returns when it is durable.

        RowError or InputError where the server says what is wrong with it; ClientError where the server cannot be
        reached or refuses.
        """
        body = encode_lines(list(ticks))
        headers = {"content-type": "application/x-ndjson", "idempotency-key": key or uuid.uuid4().hex}
        backoff = self._backoff.anew()
        while True:
            try:
                answer = self._client.post("/v1/quotes", content=body, headers={**headers, **bearer(self._token)})
                response = await answer
            except httpx2.TransportError as error:
                await self._failed(backoff, str(error) or type(error).__name__, None)
                continue
            if response.is_success:
                return decode(response.content, Published)
            refusal = Refusal(response)
            if not refusal.passing:
                raise refusal.error()
            await self._failed(backoff, str(refusal), refusal.retry_after)

    async def _failed(self, backoff: Backoff, why: str, retry_after: float | None) -> None:
        wait = backoff.next()
        if backoff.failures >= self._attempts:
            raise ClientError(f"{self._client.base_url}: {why}")
        await self._clock.sleep(wait if retry_after is None else retry_after)
