"""Convert a pandas or Polars data frame to ticks."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np

from tickwire.core.published_tick import PublishedTick
from tickwire.errors import InputError, suggest_name

# The number of rows that are converted together. The limit keeps the memory small, and equals the batch size of an
# upload.
_BATCH_ROWS = 1_000
_TICK_FIELDS = PublishedTick.__struct_fields__
_TIME_FIELDS = ("ts", "recv_ts")


class DataFrame(Protocol):
    """The methods and attributes that data frames of pandas and of Polars have in common."""

    @property
    def columns(self) -> Any: ...

    def __len__(self) -> int: ...

    def __getitem__(self, name: Any, /) -> Any: ...


class FrameTicks:
    """The rows of a data frame as ticks. The columns have the names of the fields of a tick.

    Each tick omits the fields whose values are missing (NaN, NaT, None, null). Times may have any unit and time zone; a
    time without a zone is in UTC. A pandas frame may have its times in the index instead of a column `ts`. Whole
    numbers in `ts` and `recv_ts` are microseconds since 1970.
    """

    def __init__(self, frame: DataFrame) -> None:
        names = [str(name) for name in frame.columns]
        for name in names:
            if name not in _TICK_FIELDS:
                raise InputError(
                    f"the data frame has a column {name!r}, which is not a field of a tick: rename or drop the column",
                    field=name,
                    hint=suggest_name(name, _TICK_FIELDS),
                )
        if "symbol" not in names:
            raise InputError("the data frame has no column 'symbol': add the symbol of each row", field="symbol")
        self._columns = {name: _column_values(frame[name]) for name in names}
        index = getattr(frame, "index", None)
        if "ts" not in names and getattr(getattr(index, "dtype", None), "kind", "") == "M":
            self._columns["ts"] = _column_values(index)
        self._row_count = len(frame)

    def __len__(self) -> int:
        return self._row_count

    def batches(self, skipped_rows: int = 0) -> Iterator[list[dict[str, Any]]]:
        """Yield all ticks after the first `skipped_rows` ticks, in batches."""
        for begin in range(skipped_rows, self._row_count, _BATCH_ROWS):
            columns = {name: values[begin : begin + _BATCH_ROWS].tolist() for name, values in self._columns.items()}
            rows = zip(*columns.values(), strict=True)
            yield [
                {name: _plain_list(value) for name, value in zip(columns, row, strict=True) if not _is_missing(value)}
                for row in rows
            ]


def _column_values(column: Any) -> np.ndarray[Any, Any]:
    """Return the values of a column or an index. Times become microseconds since 1970; missing times become None."""
    # Pandas returns times with a time zone as objects unless a type is given. The type converts the times to UTC.
    is_zoned = getattr(column.dtype, "kind", "") == "M" and getattr(column.dtype, "tz", None) is not None
    values: np.ndarray[Any, Any] = column.to_numpy(dtype="datetime64[us]") if is_zoned else column.to_numpy()
    if values.dtype.kind == "M":
        return _whole_numbers(values.astype("datetime64[us]").astype(np.int64), np.isnat(values))
    if column.name in _TIME_FIELDS and values.dtype.kind == "f":
        # In a data frame, a missing value turns a column of whole numbers into a column of floats.
        return _whole_numbers(values, np.isnan(values))
    return values


def _whole_numbers(values: np.ndarray[Any, Any], is_missing: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    pairs = zip(values.tolist(), is_missing.tolist(), strict=True)
    return np.array([None if missing else int(value) for value, missing in pairs], dtype=object)


def _plain_list(value: Any) -> Any:
    """Return the conditions of a row as a list. A data frame from a file may contain them as an array."""
    return value.tolist() if isinstance(value, np.ndarray) else value


def _is_missing(value: Any) -> bool:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return True
    # In pandas, NaT is not equal to itself, and a comparison with NA has no truth value. So compare the names of the
    # types.
    return type(value).__name__ in ("NAType", "NaTType")
