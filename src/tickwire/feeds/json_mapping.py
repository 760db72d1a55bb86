"""The mapping from the values of JSON documents to the fields of ticks, for sources without a special feed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

from tickwire.core.instrument import check_symbol
from tickwire.core.tick import NOT_REPORTED, TICK_DTYPE
from tickwire.errors import InputError
from tickwire.recordings.column_mapping import BAR_FIELDS, Column, parse_mapping
from tickwire.recordings.time_parsers import TimeParser, choose_time_parser
from tickwire.recordings.value_parsers import ValueParser, choose_parser

Path: TypeAlias = tuple[str, ...]

_EACH = "*"
_FIELDS = TICK_DTYPE.names or ()
_PRICES = ("last", "bid", "ask")


class _MappedField(NamedTuple):
    """The path and the parser of one field.

    `is_in_row` means that the path begins at a row (one item of a list in the document), not at the whole document.
    """

    column: Column
    path: Path
    is_in_row: bool
    parse: ValueParser | None


class JsonMapping:
    """Finds the ticks in JSON documents.

    The mapping has the form `symbol=data.*.s,last=data.*.p,ts=data.*.t@ms`. A path consists of keys and of indexes of
    lists, separated by dots. An asterisk stands for each item of a list, so each item is a row. The units and formats
    are the same as in the mappings of recordings. If the mapping has no path for the field `symbol`, every row has the
    symbol that the argument `symbol` states. If the mapping has no path for `ts`, a tick has the time of its arrival.

    The constructor raises InputError if the mapping is not valid.
    """

    def __init__(self, mapping: str, symbol: str) -> None:
        parts = parse_mapping(mapping) if mapping else []
        fields = {part.field for part in parts}
        if not fields.intersection(_PRICES) or (not symbol and "symbol" not in fields):
            raise InputError(
                "map: name the JSON members that contain a tick's price and symbol",
                field="map",
                hint="write --map symbol=data.*.symbol,last=data.*.price, or --symbol ACME --map last=price",
            )
        if fields.intersection(BAR_FIELDS):
            raise InputError(
                f"map: only a recording of bars has the fields {', '.join(BAR_FIELDS)}: map the field last instead",
                field="map",
            )
        self._symbol = check_symbol(symbol, field="symbol").encode("ascii") if symbol else b""
        paths = [tuple(part.name.split(".")) for part in parts]
        self._row_path = _common_row_path(paths)
        self._fields = [_mapped_field(part, path, self._row_path) for part, path in zip(parts, paths, strict=True)]
        # The parser of all times. The format of the first time determines the parser.
        self._time_parser: TimeParser | None = None

    def rows(self, document: Any, now: int) -> Iterator[tuple[Any, ...]]:
        """Yield the fields of each tick in a document, in the order of `TICK_DTYPE`.

        The result omits items without a symbol or without any price. `now` is in nanoseconds since the Unix epoch.
        Raise ValueError if a value is not valid, and InputError if the format of a time is ambiguous.
        """
        for item in _expand(document, self._row_path):
            values: dict[str, Any] = {"symbol": self._symbol, "ts": now}
            for field in self._fields:
                cell = _find(item if field.is_in_row else document, field.path)
                if cell is not None:
                    values[field.column.field] = self._parse(field, cell)
            if values["symbol"] and any(name in values for name in _PRICES):
                yield tuple(values.get(name, NOT_REPORTED) for name in _FIELDS)

    def _parse(self, field: _MappedField, cell: Any) -> Any:
        if isinstance(cell, (dict, list, bool)):
            raise ValueError(f"the value at {'.'.join(field.path)} is neither a number nor a text")  # noqa: TRY004  # as parsers do
        if field.parse is not None:
            return field.parse(cell)
        if self._time_parser is None:
            self._time_parser = choose_time_parser(field.column, [cell])
        return self._time_parser.parse(cell)


def _mapped_field(column: Column, path: Path, row_path: Path) -> _MappedField:
    is_in_row = bool(row_path) and path[: len(row_path)] == row_path
    parse = None if column.field == "ts" else choose_parser(column, ".")[0]
    return _MappedField(column, path[len(row_path) :] if is_in_row else path, is_in_row, parse)


def _common_row_path(paths: Sequence[Path]) -> Path:
    """Return the path of the rows, which is the part of a path up to its last asterisk. A row is one item of a list.

    This part must be the same in all paths with an asterisk.
    """
    row_paths = {path[: len(path) - path[::-1].index(_EACH)] for path in paths if _EACH in path}
    if len(row_paths) > 1:
        shown = " and ".join(sorted(".".join(path) for path in row_paths))
        raise InputError(
            f"map: the paths contain different lists ({shown}): use the same list in all paths", field="map"
        )
    return row_paths.pop() if row_paths else ()


def _expand(value: Any, path: Path) -> Iterator[Any]:
    """Yield the values at a path. An asterisk in the path stands for each item of a list or an object."""
    if not path:
        yield value
    elif path[0] == _EACH:
        items = value if isinstance(value, list) else value.values() if isinstance(value, dict) else ()
        for item in items:
            yield from _expand(item, path[1:])
    else:
        yield from _expand(_find(value, path[:1]), path[1:])


def _find(value: Any, path: Path) -> Any:
    """Return the value at a path, or None if the path leads to no value."""
    for key in path:
        if isinstance(value, dict):
            value = value.get(key)
        elif isinstance(value, list) and key.isdecimal() and int(key) < len(value):
            value = value[int(key)]
        else:
            return None
    return value
