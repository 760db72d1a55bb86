"""The symbol in the name of a recording."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from tickwire.core.instrument import check_symbol
from tickwire.errors import InputError

_SUFFIXES = (".gz", ".zst", ".zip", ".csv", ".tsv", ".txt", ".parquet", ".ndjson", ".jsonl", ".json", ".part")
# Words in file names that describe the content instead of the symbol, such as `trades` in
# BTCUSDT-trades-2024-01-02.zip.
_WORDS = frozenset(
    (
        "data", "history", "historical", "prices", "price", "quotes", "quote", "trades", "trade", "ticks", "tick",
        "bars", "bar", "ohlc", "ohlcv", "klines", "aggtrades", "daily", "day", "intraday", "intra", "minute", "min",
        "hourly", "hour", "adjusted", "adj", "raw", "stock", "stocks", "all", "export",
    )
)  # fmt: skip
_LENGTH_OR_DATE = re.compile(r"\d+(?:min|[smhdw])|(?:19|20)\d\d(?:\d\d)?(?:\d\d)?", re.IGNORECASE)
_SEPARATOR = re.compile(r"[_\s]+")


class FileSymbol(NamedTuple):
    """The symbol in a file name.

    `rest` contains the other parts of the name, except dates and words about the content.
    """

    symbol: str
    rest: tuple[str, ...]


def symbol_in_filename(path: Path) -> FileSymbol:
    """Return the symbol in the name of a file.

    The symbol is the first part of the name, up to an underscore or a space: the symbol of BRK-A_1min.csv is BRK-A.
    Dates, and words about the content such as `daily`, are not symbols. Raise InputError if the name has no symbol.
    """
    name = path.name
    while (suffix := name[name.rfind(".") :].lower()) in _SUFFIXES and len(name) > len(suffix):
        name = name[: -len(suffix)]
    parts = [part for part in map(_without_general_words, _SEPARATOR.split(name)) if part]
    parts = [part for index, part in enumerate(parts) if not index or not _is_general(part)]
    try:
        return FileSymbol(check_symbol(parts[0].upper() if parts else "", field="symbol"), tuple(parts[1:]))
    except InputError:
        raise InputError(
            f"{path} contains no column of symbols, and its name does not begin with a symbol",
            field="symbol",
            hint="add --symbol SYMBOL",
        ) from None


def _without_general_words(part: str) -> str:
    """Remove words about the content, such as `trades`, from the start of `part`.

    Then cut `part` before the next such word, bar length or date.

    For example, BTC-USD-1m-2024-01-02 becomes BTC-USD.
    """
    words = part.split("-")
    while words and words[0].lower() in _WORDS:
        words.pop(0)
    end = next((index for index, word in enumerate(words) if index and _is_general(word)), len(words))
    return "-".join(words[:end])


def _is_general(word: str) -> bool:
    return word.lower() in _WORDS or _LENGTH_OR_DATE.fullmatch(word) is not None
