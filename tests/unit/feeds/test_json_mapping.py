"""Ticks in JSON documents."""

from __future__ import annotations

import math
from typing import Any

import pytest

from tickwire.core.tick import TICK_DTYPE
from tickwire.errors import InputError
from tickwire.feeds.json_mapping import JsonMapping

NOW = 1_767_366_000 * 10**9
TS_MS = 1_767_365_999_500


def rows(mapping: str, document: Any, symbol: str = "") -> list[dict[str, Any]]:
    """Return the reported fields of each row."""
    found = [dict(zip(TICK_DTYPE.names, row, strict=True)) for row in JsonMapping(mapping, symbol).rows(document, NOW)]
    return [{name: value for name, value in row.items() if value == value} for row in found]


def test_one_object_is_one_row() -> None:
    document = {"s": "ACME", "p": "12.5", "q": 3, "t": TS_MS}
    assert rows("symbol=s,last=p,size=q,ts=t@ms", document) == [
        {"symbol": b"ACME", "ts": TS_MS * 10**6, "last": 12.5, "size": 3.0}
    ]


def test_each_item_of_a_list_is_a_row() -> None:
    """A path outside the list has the same value in each row. Items without a price are left out."""
    document = {
        "time": "2026-01-02T14:59:59Z",
        "data": [{"c": "A", "b": [1.0, 5]}, {"c": "B"}, {"c": "C", "b": [2, 0]}],
    }
    assert rows("symbol=data.*.c,bid=data.*.b.0,bid_size=data.*.b.1,ts=time", document) == [
        {"symbol": b"A", "ts": NOW - 10**9, "bid": 1.0, "bid_size": 5.0},
        {"symbol": b"C", "ts": NOW - 10**9, "bid": 2.0, "bid_size": 0.0},
    ]


@pytest.mark.parametrize(
    ("mapping", "document"),
    [
        ("symbol=*.s,last=*.p", [{"s": "A", "p": 1}, {"s": "B", "p": 2}]),
        ("symbol=q.*.s,last=q.*.p", {"q": {"x": {"s": "A", "p": 1}, "y": {"s": "B", "p": 2}}}),
        ("symbol=l.*.*.s,last=l.*.*.p", {"l": [[{"s": "A", "p": 1}], [{"s": "B", "p": 2}]]}),
    ],
)
def test_lists_of_several_shapes(mapping: str, document: Any) -> None:
    assert [(row["symbol"], row["last"], row["ts"]) for row in rows(mapping, document)] == [
        (b"A", 1.0, NOW), (b"B", 2.0, NOW),
    ]  # fmt: skip


def test_a_source_without_symbols() -> None:
    assert rows("last=price@e2", {"price": 1250}, "GOLD") == [{"symbol": b"GOLD", "ts": NOW, "last": 12.5}]


@pytest.mark.parametrize(
    "document", [{}, [], None, 5, "x", {"data": None}, {"data": [1, None, "x"]}, {"data": {"p": 1}}]
)
def test_documents_without_rows(document: Any) -> None:
    assert rows("symbol=data.*.s,last=data.*.p", document) == []


@pytest.mark.parametrize("price", ["x", {}, [], True, 1e15, -1e15])
def test_an_invalid_value_raises_value_error(price: Any) -> None:
    # Do not check the message, because it depends on the value.
    with pytest.raises(ValueError):  # noqa: PT011
        rows("symbol=s,last=p", {"s": "A", "p": price})


@pytest.mark.parametrize("price", [None, "", "null", math.nan])
def test_a_missing_value_is_not_reported(price: Any) -> None:
    assert rows("symbol=s,last=p,bid=b", {"s": "A", "p": price, "b": 1}) == [{"symbol": b"A", "ts": NOW, "bid": 1.0}]


@pytest.mark.parametrize(
    ("mapping", "symbol"),
    [
        ("", ""), ("symbol=s", ""), ("last=p", ""), ("symbol=s,last", ""), ("symbol=a.*.s,last=b.*.p", ""),
        ("open=o,last=p", "A"), ("symbol=s,last=p@x", ""), ("last=p", "A,B"),
    ],
)  # fmt: skip
def test_an_invalid_mapping_is_an_input_error(mapping: str, symbol: str) -> None:
    with pytest.raises(InputError):
        JsonMapping(mapping, symbol)
