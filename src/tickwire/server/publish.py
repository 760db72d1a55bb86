"""POST /v1/quotes: ticks from outside.

A raw ASGI callable, dispatched before the framework, which would take as long as everything else that is done here.
"""

from __future__ import annotations

import re

import msgspec
import numpy as np
from starlette.requests import Request
from starlette.responses import Response

from tickwire.core.codec import encode
from tickwire.core.event import ticks_entry
from tickwire.core.instrument import SYMBOL_WORDS
from tickwire.core.published import Published
from tickwire.core.tick import Tick, Ticks, pack
from tickwire.errors import InputError, JournalError, RowError, nearest
from tickwire.hub.rights import Rights
from tickwire.server.access import rights_of
from tickwire.server.asgi import Receive, Scope, Send
from tickwire.server.audit import note
from tickwire.server.body import NO_TEXT, read_body
from tickwire.server.problem import input_problem, journal_problem
from tickwire.server.refusal import Forbidden, TooLarge
from tickwire.server.service import Service

_PLACE = re.compile(r"`\$\[(?P<index>\d+)\](?:\.(?P<field>\w+))?")  # where msgspec says that a value is wrong
_UNKNOWN = re.compile(r"unknown field `(\w+)`")
KEY_LENGTH = 128
MOST_TICKS = 10_000  # in one publish: applied in one go, some 10 ms
_EARLIEST = 10**14 * 1000  # ns: in microseconds, seconds and milliseconds of today look like 1970
_DAY = 86_400 * 10**9  # ns
_MOST_DAYS = 500  # each begins a session, which costs about as much as a batch
_AHEAD = _DAY  # ns: a time from the far future would begin a session that no later tick belongs to
_SOURCE = "http"


class PublishEndpoint:
    """Publish ticks: a JSON array, or NDJSON. One bad row rejects the whole batch, naming its index and field."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one publish."""
        try:
            answer = await self._published(Request(scope, receive))
        except InputError as error:
            answer = input_problem(error)
        except JournalError as error:
            answer = journal_problem(error)
        await answer(scope, receive, send)

    async def _published(self, request: Request) -> Response:
        service = self._service
        key = request.headers.get("idempotency-key") or None
        if key is not None and len(key) > KEY_LENGTH:
            raise InputError(f"idempotency-key: at most {KEY_LENGTH} characters", field="idempotency-key")
        ticks = _decode(await read_body(request, service.limits.body_bytes))
        if len(ticks) > MOST_TICKS:
            raise TooLarge(f"{len(ticks)} ticks: a batch may have {MOST_TICKS}")
        packed = _timely(service, ticks)
        rights = rights_of(request.scope)
        _check_rights(rights, ticks)
        new = _new_symbols(service, packed)
        service.arriving.update(new)
        try:
            span = await service.publish(ticks_entry(packed, source=_source(rights), key=key))
        finally:
            service.arriving.difference_update(new)
        epoch = service.hub.head.epoch
        note(request.scope, ticks=len(ticks), first=span.first, last=span.last, repeated=not span.fresh)
        answer = Published(
            span.last - span.first + 1, f"{epoch}-{span.first}", f"{epoch}-{span.last}", repeated=not span.fresh
        )
        return Response(encode(answer), 201 if span.fresh else 200, media_type="application/json")


def _source(rights: Rights) -> str:
    """Whose keys these are: each user's are its own, and where a token names no user, each token's."""
    return _SOURCE if rights.bearer is None else f"{_SOURCE} {rights.bearer}"


def _new_symbols(service: Service, ticks: Ticks) -> set[str]:
    """The symbols that the board does not have yet; InputError where they would be too many."""
    board, most = service.hub.board, service.limits.board_symbols
    new = board.missing(ticks["symbol"].tolist())
    if new and len(board) + len(service.arriving | new) > most:
        raise InputError(f"the board takes {most} symbols, and these would be more", field="symbol")
    return new


def _check_rights(rights: Rights, ticks: list[Tick]) -> None:
    """Forbidden, with the tick's index, where one is of a symbol outside the publisher's rights."""
    if rights.symbols.everything:
        return
    for index, tick in enumerate(ticks):
        if not rights.symbols.takes(tick.symbol):
            raise Forbidden(f"tick {index}: the token does not allow {tick.symbol}", field="symbol")


def _timely(service: Service, ticks: list[Tick]) -> Ticks:
    """The packed ticks, if their times are likely: not long ago by mistake, not from tomorrow, not of years at once."""
    now = service.clock.now()
    packed = pack(ticks, now=now)
    ts = packed["ts"]
    oldest, newest = int(ts.min()), int(ts.max())
    if oldest < _EARLIEST:
        index = int(np.argmax(ts < _EARLIEST))
        raise RowError(
            f"tick {index}, ts: is in microseconds since 1970; this would be before 1973", index=index, field="ts"
        )
    if newest > now + _AHEAD:
        index = int(np.argmax(ts > now + _AHEAD))
        said = f"tick {index}, ts: more than a day ahead of the server's clock, which says {now // 1000}"
        raise RowError(said, index=index, field="ts")
    if newest // _DAY - oldest // _DAY >= _MOST_DAYS and len(np.unique(ts // _DAY)) > _MOST_DAYS:
        raise InputError(f"the batch's times are of more than {_MOST_DAYS} days: send smaller ones", field="ts")
    return packed


def _decode(body: bytes) -> list[Tick]:
    """The ticks in a JSON array or in NDJSON; RowError names the index and field of the first wrong one."""
    text = body.lstrip()
    try:
        ticks = _ARRAY.decode(text) if text.startswith(b"[") else _LINES.decode_lines(text)
    except msgspec.ValidationError as error:
        raise _row_error(str(error)) from None
    except NO_TEXT as error:
        raise InputError(f"the body is neither a JSON array of ticks nor NDJSON: {error}") from None
    if not ticks:
        raise InputError("the body holds no tick", hint='example: [{"symbol":"AAPL","last":187.25,"size":100}]')
    return ticks


_ARRAY = msgspec.json.Decoder(list[Tick])
_LINES = msgspec.json.Decoder(Tick)


def _row_error(message: str) -> InputError:
    place = _PLACE.search(message)
    if place is None:
        return InputError(message)
    what = message.rsplit(" - at ", 1)[0]
    where = f"tick {place['index']}" + (f", {place['field']}" if place["field"] else "")
    what = f"expected {SYMBOL_WORDS}" if "matching regex" in what else f"{what[0].lower()}{what[1:]}"
    unknown = _UNKNOWN.search(what)
    field, hint = (unknown[1], nearest(unknown[1], Tick.__struct_fields__)) if unknown else (place["field"], None)
    return RowError(f"{where}: {what}", index=int(place["index"]), field=field, hint=hint)
