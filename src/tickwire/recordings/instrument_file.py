"""Reads the reference data of instruments from a CSV or JSON file."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any

import msgspec

from tickwire.core.codec import decode_json
from tickwire.core.instrument import Instrument, check_symbol
from tickwire.core.tick import MAX_PRICE, MAX_SIZE
from tickwire.errors import InputError

MAX_INSTRUMENTS = 100_000
# The maximum size of the file. A file with a hundred thousand instruments has about 10 MB.
_MAX_FILE_BYTES = 64 * 1024 * 1024
_MAX_TEXT_CHARACTERS = 200
_DELIMITERS = (";", "\t", ",")

_Text = Annotated[str, msgspec.Meta(max_length=_MAX_TEXT_CHARACTERS)] | None
_Price = Annotated[float, msgspec.Meta(ge=-MAX_PRICE, le=MAX_PRICE)] | None
_Positive = Annotated[float, msgspec.Meta(gt=0, le=MAX_SIZE)] | None


class _InstrumentRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One object of the file, with the limits of its values. `Instrument` describes the fields."""

    symbol: str
    name: _Text = None
    name_zh: _Text = None
    exchange: _Text = None
    sector: _Text = None
    currency: _Text = None
    tick_size: _Positive = None
    prev_close: _Price = None
    eps: _Price = None
    shares: _Positive = None
    lot_size: _Positive = None
    volatility: _Positive = None


_FIELDS = msgspec.structs.fields(_InstrumentRow)
_FIELD_NAMES = tuple(field.name for field in _FIELDS)
_NUMBER_FIELDS = frozenset(_FIELD_NAMES[_FIELD_NAMES.index("tick_size") :])


def read_instruments(path: Path) -> tuple[Instrument, ...]:
    """Return the instruments in the file at `path`.

    The file is a JSON array of objects, one JSON object per line, or a CSV file with a header. The keys or columns are
    fields of `Instrument`. Raise InputError, with the place of the error, if the file is not valid.
    """
    text = _read_text(path)
    rows = _json_rows(path, text) if text.lstrip()[:1] in ("[", "{") else _csv_rows(path, text)
    instruments: dict[str, Instrument] = {}
    for place, row in rows:
        instrument = _convert_row(place, row)
        if instrument.symbol in instruments:
            raise _error(place, f"the symbol {instrument.symbol} is listed twice: remove one of its rows")
        if len(instruments) == MAX_INSTRUMENTS:
            raise _error(place, f"at most {MAX_INSTRUMENTS:,} instruments are allowed")
        instruments[instrument.symbol] = instrument
    if not instruments:
        raise InputError(f"{path} lists no instruments", field="instruments")
    return tuple(instruments.values())


def merge_instruments(known: Iterable[Instrument], listed: Iterable[Instrument]) -> tuple[Instrument, ...]:
    """Return the reference data of all symbols. The fields that are set in `listed` replace the fields in `known`."""
    merged = {each.symbol: each for each in known}
    for each in listed:
        stated = {name: value for name, value in msgspec.structs.asdict(each).items() if value is not None}
        merged[each.symbol] = msgspec.structs.replace(merged.get(each.symbol, each), **stated)
    return tuple(merged.values())


def _read_text(path: Path) -> str:
    try:
        if path.stat().st_size > _MAX_FILE_BYTES:
            raise InputError(f"{path} is larger than {_MAX_FILE_BYTES // 2**20} MiB", field="instruments")
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}", field="instruments") from None
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path} is not UTF-8 ({error.reason} at byte {error.start}): save the file as UTF-8", field="instruments"
        ) from None


def _json_rows(path: Path, text: str) -> list[tuple[str, Mapping[str, Any]]]:
    """Return the objects of a JSON array, or of one JSON object per line, each with its place in the file."""
    if text.lstrip().startswith("["):
        array = _decode_object(str(path), text, list[dict[str, Any]])
        return [(f"{path} item {index}", row) for index, row in enumerate(array)]
    lines = [(f"{path} line {number}", line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    return [(place, _decode_object(place, line, dict[str, Any])) for place, line in lines]


def _decode_object(place: str, text: str, expected: Any) -> Any:
    try:
        return decode_json(text, expected)
    except msgspec.MsgspecError as error:
        raise _error(place, f"not valid JSON: {error}") from None


def _csv_rows(path: Path, text: str) -> list[tuple[str, Mapping[str, Any]]]:
    """Return the rows of a CSV file, each with its place in the file. Empty cells are missing."""
    header = text.partition("\n")[0]
    reader = csv.reader(text.splitlines(), delimiter=max(_DELIMITERS, key=header.count))
    names = [name.strip().lower().replace(" ", "_") for name in next(reader, [])]
    for name in names:
        if name not in _FIELD_NAMES:
            raise _error(f"{path} line 1", _unknown_field(name))
    rows = list[tuple[str, Mapping[str, Any]]]()
    for cells in reader:
        place = f"{path} line {reader.line_num}"
        if len(cells) > len(names):
            raise _error(place, f"the row has {len(cells)} cells, but the header has {len(names)} columns")
        row = {name: _parse_cell(place, name, cell.strip()) for name, cell in zip(names, cells, strict=False)}
        if any(value is not None for value in row.values()):
            rows.append((place, row))
    return rows


def _parse_cell(place: str, name: str, cell: str) -> str | float | None:
    if not cell:
        return None
    if name not in _NUMBER_FIELDS:
        return cell
    try:
        return float(cell)
    except ValueError:
        raise _error(place, f"{name} is {cell[:40]!r}, which is not a number: write a number such as 1.5") from None


def _convert_row(place: str, row: Mapping[str, Any]) -> Instrument:
    for name in row:
        if name not in _FIELD_NAMES:
            raise _error(place, _unknown_field(name))
    try:
        checked = msgspec.convert(row, _InstrumentRow)
    except msgspec.ValidationError as error:
        message, _, key = str(error).partition(" - at `$.")
        raise _error(place, f"{key.rstrip('`')}{': ' * bool(key)}{message[0].lower()}{message[1:]}") from None
    check_symbol(checked.symbol, field="instruments")
    return Instrument(**msgspec.structs.asdict(checked))


def _unknown_field(name: str) -> str:
    near = get_close_matches(name[:40].lower(), _FIELD_NAMES, 1)
    choice = f"did you mean {near[0]}?" if near else f"choose from {', '.join(_FIELD_NAMES)}"
    return f"unknown field {name[:40]!r}: {choice}"


def _error(place: str, problem: str) -> InputError:
    return InputError(f"{place}: {problem}", field="instruments")
