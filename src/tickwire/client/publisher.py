"""Publish ticks to a server. The server stores each batch exactly once."""

from __future__ import annotations

import math
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import Any, TypeAlias

import httpx2
import msgspec
import numpy as np

from tickwire.client.backoff import Backoff
from tickwire.client.http import ErrorResponse, check_url
from tickwire.client.token import AsyncTokenSource, bearer_header, read_token
from tickwire.clock import Clock, SystemClock
from tickwire.core.codec import decode_json
from tickwire.core.event import PublishReceipt, UploadReceipt
from tickwire.core.tick import Tick
from tickwire.errors import BatchRowError, ClientError

_REQUEST_TIMEOUT_S = 30.0

TickBatch: TypeAlias = Iterable[Tick | Mapping[str, Any]]
"""A batch of ticks."""

Ticks: TypeAlias = Tick | Mapping[str, Any] | TickBatch
"""One tick or a batch of ticks."""


class Publisher:
    """Publishes ticks to the server at `url`. Open the publisher with `async with`.

    Each batch has a key. If a request fails, the publisher sends the batch again with the same key. If the server has
    stored the batch already, the server recognizes the key and does not store the batch again. The publisher sends up
    to `attempts` requests for each batch, and `backoff` determines the wait between two requests. If `token` is a
    function, the publisher calls the function before each request, so that an expired token can be replaced.
    """

    def __init__(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        token: AsyncTokenSource = None,
        attempts: int = 8,
        clock: Clock | None = None,
        backoff: Backoff | None = None,
    ) -> None:
        self._client = httpx2.AsyncClient(base_url=check_url(url), headers=headers, timeout=_REQUEST_TIMEOUT_S)
        self._token = token
        self._attempts = attempts
        self._clock = clock or SystemClock()
        self._backoff = backoff or Backoff()

    async def __aenter__(self) -> Publisher:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        await self._client.aclose()

    async def publish(self, ticks: Ticks, *, key: str | None = None) -> PublishReceipt:
        """Publish one tick or one batch of ticks. Return when the server has stored the batch durably.

        The server stores either all ticks of the batch or no tick. Raise BatchRowError or InputError if the batch is
        invalid. Raise ClientError if the server does not answer, or rejects the batch for another reason.
        """
        body = _encode_batch([ticks] if isinstance(ticks, Tick | Mapping) else [*ticks])
        headers = {"content-type": "application/x-ndjson", "idempotency-key": key or uuid.uuid4().hex}
        backoff = self._backoff.fresh_copy()
        while True:
            try:
                response = await self._request("POST", "/v1/quotes", content=body, headers=headers)
                return decode_json(response.content, PublishReceipt)
            except _TemporaryFailure as failure:
                await self._wait_before_retry(backoff, failure)

    async def upload(self, open_batches: Callable[[int], Iterable[TickBatch]], *, name: str) -> UploadReceipt:
        """Publish any number of ticks in one request. Return when the server has stored all ticks durably.

        `open_batches(count)` returns batches of all ticks except the first `count` ticks. After a failure, the
        publisher asks the server how many ticks it has stored, and calls `open_batches` again for the rest. The server
        recognizes the upload by its `name` (up to 64 letters, digits or `._~-`), so it stores no tick twice, even if
        another program continues the upload later.

        In the receipt, `repeated` is the number of ticks that the server had stored before this call. After a failure
        during the call, `repeated` may be too low by up to 1,000.

        After `attempts` requests in a row without a stored tick, the publisher raises an error. Raise the errors of
        `publish`, and the errors of `open_batches`. If a tick is invalid, the server has stored all ticks before this
        tick. The `index` of the error is the number of the tick in the whole upload, from 0.
        """
        path = f"/v1/uploads/{name}"
        backoff, stored, stored_before = self._backoff.fresh_copy(), 0, None
        while True:
            try:
                state = decode_json((await self._request("GET", path)).content, _UploadState)
                if state.accepted > stored:
                    backoff.reset()
                stored = state.accepted
                is_first, stored_before = stored_before is None, stored if stored_before is None else stored_before
                body = _UploadBody(open_batches(stored), stored)
                headers = {"content-type": "application/x-ndjson"}
                response = await self._request(
                    "POST", path, params={"offset": stored}, content=aiter(body), headers=headers
                )
                if body.error is not None:
                    raise body.error
                receipt = decode_json(response.content, UploadReceipt)
                repeated = stored_before + receipt.repeated if is_first else stored_before
                return msgspec.structs.replace(receipt, repeated=repeated)
            except _TemporaryFailure as failure:
                await self._wait_before_retry(backoff, failure)
            except BatchRowError as error:
                raise _name_tick(error, stored) from None

    async def _request(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None, **options: Any
    ) -> httpx2.Response:
        """Return the response if it is a success. Raise _TemporaryFailure if the caller may repeat the request."""
        headers = {**(headers or {}), **bearer_header(await read_token(self._token))}
        try:
            response = await self._client.request(method, path, headers=headers, **options)
        except httpx2.RequestError as error:
            raise _TemporaryFailure(str(error) or type(error).__name__, None) from None
        if response.is_success:
            return response
        failure = ErrorResponse(response)
        if failure.is_temporary:
            raise _TemporaryFailure(str(failure), failure.retry_after)
        raise failure.to_error()

    async def _wait_before_retry(self, backoff: Backoff, failure: _TemporaryFailure) -> None:
        wait = backoff.next_wait()
        if backoff.failures >= self._attempts:
            raise ClientError(f"cannot publish to {self._client.base_url}: {failure}") from None
        await self._clock.sleep(wait if failure.retry_after_s is None else failure.retry_after_s)


class _UploadState(msgspec.Struct, frozen=True):
    """The state of an upload. The server has stored at least the first `accepted` ticks."""

    accepted: int


class _TemporaryFailure(Exception):
    """A request failed, and may succeed later. The server may name the number of seconds to wait."""

    def __init__(self, reason: str, retry_after_s: float | None) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s


def _to_python_object(value: Any) -> Any:
    """Return the Python object for a NumPy number or NumPy text. Raise TypeError for any other value."""
    if isinstance(value, np.number | np.str_):
        return value.item()
    raise TypeError(f"{value!r} is neither a number nor a text")


_ENCODER = msgspec.json.Encoder(enc_hook=_to_python_object)
# A tick without a time contains this JSON member. The server uses the current time as the time of such a tick.
_NO_TIME = b'"ts":null'


def _encode_batch(ticks: list[Tick | Mapping[str, Any]], first_index: int = 0) -> bytes:
    """Return the ticks as NDJSON. Raise BatchRowError for a value that JSON cannot represent, such as NaN.

    An error names the index of its tick. `first_index` is the index of the first element of `ticks`.
    """
    try:
        body = _ENCODER.encode_lines(ticks)
    except TypeError:
        body = None
    # Find NaN values, because the encoder writes NaN as null. The server would read null as an empty side of the order
    # book.
    if body is None or b":null" in body.replace(_NO_TIME, b""):
        for index, tick in enumerate(ticks, first_index):
            _check_values(index, tick)
    return _ENCODER.encode_lines(ticks) if body is None else body


class _UploadBody:
    """The body of an upload. If a batch is invalid, the body ends before this batch, and `error` contains the reason.

    `index` is the position of the body's first tick in the whole upload.
    """

    def __init__(self, batches: Iterable[TickBatch], index: int) -> None:
        self.error: Exception | None = None
        self._batches = batches
        self._index = index

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            for batch in self._batches:
                ticks = [*batch]
                yield _encode_batch(ticks, self._index)
                self._index += len(ticks)
        except Exception as error:  # noqa: BLE001  # `upload` raises the error after the last stored tick
            self.error = error


def _name_tick(error: BatchRowError, stored: int) -> BatchRowError:
    """Return the error with the index of the tick in the upload instead of the line in the body of the request.

    The body does not contain the first `stored` ticks of the upload.
    """
    if error.line is None:
        return error
    index = stored + error.line - 1
    reason = str(error).removeprefix(f"line {error.line}: ")
    separator = ", " if reason.startswith(f"{error.field}: ") else ": "
    return BatchRowError(f"tick {index}{separator}{reason}", index=index, field=error.field, hint=error.hint)


def _check_values(index: int, tick: Tick | Mapping[str, Any]) -> None:
    for name, value in (msgspec.structs.asdict(tick) if isinstance(tick, Tick) else tick).items():
        if value is msgspec.UNSET:
            continue
        hint = "leave out a field that has no value, and send None only for an empty side of the order book"
        place = f"tick {index}, {name}"
        if isinstance(value, float | np.floating) and not math.isfinite(value):
            raise BatchRowError(f"{place}: {value} is not a number", index=index, field=name, hint=hint)
        try:
            _ENCODER.encode(value)
        except TypeError as error:
            raise BatchRowError(f"{place}: {error}", index=index, field=name, hint=hint) from None
