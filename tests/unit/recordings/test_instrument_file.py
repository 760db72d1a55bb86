"""Reference data of instruments from files."""

from __future__ import annotations

from pathlib import Path

import pytest

from tickwire.core.instrument import Instrument
from tickwire.errors import InputError
from tickwire.recordings import instrument_file
from tickwire.recordings.instrument_file import merge_instruments, read_instruments

ACME = Instrument(
    symbol="ACME", name="Acme, Inc.", name_zh="极致公司", sector="Energy", currency="USD", tick_size=0.01,
    prev_close=12.5, eps=-0.75, shares=1e9, lot_size=100,
)  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        '[{"symbol":"ACME","name":"Acme, Inc.","name_zh":"极致公司","sector":"Energy","currency":"USD",'
        '"tick_size":0.01,"prev_close":12.5,"eps":-0.75,"shares":1e9,"lot_size":100}]',
        '{"symbol":"ACME","name":"Acme, Inc.","name_zh":"极致公司","sector":"Energy","currency":"USD",'
        '"tick_size":0.01,"prev_close":12.5,"eps":-0.75,"shares":1e9,"lot_size":100,"exchange":null}\n\n',
        "Symbol,Name,name_zh,Sector,Currency,Tick Size,Prev Close,EPS,Shares,Lot Size,exchange\n"
        'ACME,"Acme, Inc.",极致公司,Energy,USD,0.01,12.5,-0.75,1e9,100,\n,,,,,,,,,,\n',
        "symbol;name;name_zh;sector;currency;tick_size;prev_close;eps;shares;lot_size\r\n"
        "ACME;Acme, Inc.;极致公司;Energy;USD;0.01;12.5;-0.75;1000000000;100\r\n",
        "\ufeffsymbol\tname\tname_zh\tsector\tcurrency\ttick_size\tprev_close\teps\tshares\tlot_size\n"
        "ACME\tAcme, Inc.\t极致公司\tEnergy\tUSD\t0.01\t12.5\t-0.75\t1e9\t100",
    ],
    ids=["JSON", "NDJSON", "CSV", "semicolons", "tabs"],
)
def test_each_format_gives_the_same_instrument(tmp_path: Path, text: str) -> None:
    path = tmp_path / "instruments"
    path.write_text(text, encoding="utf-8", newline="")
    assert read_instruments(path) == (ACME,)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "lists no instruments"),
        ("symbol\n", "lists no instruments"),
        ("symbol,nmae\nA,x", "line 1: unknown field 'nmae': did you mean name?"),
        ("symbol,colour\nA,x", "line 1: unknown field 'colour': choose from symbol, name"),
        ("symbol,eps\nA,1.5x", "line 2: eps is '1.5x', which is not a number: write a number such as 1.5"),
        ("symbol,eps\nA,1\nB,nan", "line 3: "),
        ("symbol,eps\nA,inf", "line 2: "),
        ("symbol,shares\nA,-1", "line 2: "),
        ("symbol,name\nA,x,y", "line 2: the row has 3 cells, but the header has 2 columns"),
        ("name\nx", "line 2: object missing required field `symbol`"),
        ("symbol\nA\nA", "line 3: the symbol A is listed twice"),
        ("symbol\nÄ", "cannot be a symbol"),
        ("symbol,name\nA," + "x" * 201, "line 2: "),
        ('[{"symbol":"A"},{"symbol":5}]', "item 1: "),
        ('{"symbol":"A"}\n{"symbol"', "line 2: not valid JSON"),
        ('[{"symbol":"A","tick_size":0}]', "item 0: "),
        ('[{"symbol":"A","colour":"red"}]', "item 0: unknown field 'colour'"),
        ('["A"]', "not valid JSON"),
    ],
)
def test_an_invalid_file_is_rejected_with_the_place(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "instruments.txt"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as error:
        read_instruments(path)
    assert message in str(error.value)
    assert error.value.field == "instruments"


def test_an_unreadable_file_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "latin").write_bytes(b"symbol,name\nA,Caf\xe9\n")
    with pytest.raises(InputError, match="is not UTF-8"):
        read_instruments(tmp_path / "latin")
    with pytest.raises(InputError, match="cannot be read: No such file"):
        read_instruments(tmp_path / "missing")


def test_size_and_number_of_instruments_are_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "instruments.csv"
    path.write_text("symbol\nA\nB\nC\n")
    monkeypatch.setattr(instrument_file, "MAX_INSTRUMENTS", 2)
    with pytest.raises(InputError, match="line 4: at most 2 instruments"):
        read_instruments(path)
    monkeypatch.setattr(instrument_file, "_MAX_FILE_BYTES", 5)
    with pytest.raises(InputError, match="is larger than"):
        read_instruments(path)


def test_listed_fields_replace_the_fields_of_the_feed() -> None:
    known = [Instrument(symbol="A", name="Old", eps=1.0), Instrument(symbol="B", name="Unchanged")]
    listed = [Instrument(symbol="A", name="New"), Instrument(symbol="C", name="Added")]
    assert merge_instruments(known, listed) == (
        Instrument(symbol="A", name="New", eps=1.0),
        Instrument(symbol="B", name="Unchanged"),
        Instrument(symbol="C", name="Added"),
    )
