"""Past candles of a symbol, read page by page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, TypeAlias, overload
from urllib.parse import quote

from tickwire.client.http import HttpConnection
from tickwire.core.candle import Candle
from tickwire.core.codec import decode_json
from tickwire.core.timestamps import parse_timestamp, to_nanoseconds

Time: TypeAlias = datetime | str | int
"""A time: a datetime, a text in ISO 8601, or microseconds since 1970. A time without an offset is in UTC."""

# The maximum number of candles in one response of the server.
_PAGE_SIZE = 5_000
_COLUMNS = ("symbol", "start", "open", "high", "low", "close", "volume", "closed")


class CandleHistory(Sequence[Candle]):
    """The candles of one symbol, the oldest first. Only the last candle can be open."""

    def __init__(self, candles: Sequence[Candle]) -> None:
        self._candles = tuple(candles)

    @overload
    def __getitem__(self, index: int) -> Candle: ...
    @overload
    def __getitem__(self, index: slice) -> CandleHistory: ...
    def __getitem__(self, index: int | slice) -> Candle | CandleHistory:
        return CandleHistory(self._candles[index]) if isinstance(index, slice) else self._candles[index]

    def __len__(self) -> int:
        return len(self._candles)

    def __iter__(self) -> Iterator[Candle]:
        return iter(self._candles)

    def __repr__(self) -> str:
        return f"CandleHistory({list(self._candles)!r})"

    def to_pandas(self) -> Any:
        """Return a pandas data frame with the index `start`, in UTC. Raise ImportError if pandas is not installed."""
        import pandas

        frame = pandas.DataFrame(self._columns())
        frame["start"] = pandas.to_datetime(frame["start"], unit="us", utc=True)
        return frame.set_index("start")

    def to_polars(self) -> Any:
        """Return a Polars data frame. `start` is in UTC. Raise ImportError if Polars is not installed."""
        import polars

        types = {"symbol": polars.String, "start": polars.Int64, "closed": polars.Boolean}
        schema = {name: types.get(name, polars.Float64) for name in _COLUMNS}
        frame = polars.DataFrame(self._columns(), schema=schema)
        return frame.with_columns(polars.from_epoch("start", time_unit="us").dt.replace_time_zone("UTC"))

    def _columns(self) -> dict[str, list[Any]]:
        return {name: [getattr(candle, name) for candle in self._candles] for name in _COLUMNS}


async def read_history(
    connection: HttpConnection,
    symbol: str,
    interval: str,
    *,
    start: Time | None,
    end: Time | None,
    limit: int | None,
) -> CandleHistory:
    """Read at most `limit` candles that start in `[start, end)`. If `limit` is None, read all of them.

    If more than `limit` candles match, return the oldest candles if `start` is set, and the newest candles otherwise.
    """
    first, last = _to_microseconds(start, "start"), _to_microseconds(end, "end")
    pages: list[list[Candle]] = []
    missing = limit
    while missing is None or missing > 0:
        size = _PAGE_SIZE if missing is None else min(_PAGE_SIZE, missing)
        page = await _read_page(connection, symbol, interval=interval, start=first, end=last, limit=size)
        pages.append(page)
        if len(page) < size:
            break
        missing = None if missing is None else missing - size
        if first is None:
            last = page[0].start
        else:
            first = page[-1].start + 1
            if last is not None and first >= last:
                break
    ordered = reversed(pages) if start is None else pages
    return CandleHistory([candle for page in ordered for candle in page])


async def _read_page(connection: HttpConnection, symbol: str, **parameters: str | int | None) -> list[Candle]:
    query = {name: value for name, value in parameters.items() if value is not None}
    response = await connection.request("GET", f"/v1/candles/{quote(symbol, safe='')}", params=query)
    return decode_json(response.content, list[Candle])


def _to_microseconds(time: Time | None, field: str) -> int | None:
    if time is None:
        return None
    nanoseconds = to_nanoseconds(time) if isinstance(time, datetime) else parse_timestamp(str(time), field=field)
    return nanoseconds // 1000
