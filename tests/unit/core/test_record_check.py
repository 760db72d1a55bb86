"""The check of a record's data: a table of invalid values, and valid values at the limits."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from tickwire.core.candle import CANDLE_DTYPE
from tickwire.core.codec import encode_json
from tickwire.core.event import NamedEvent, RecordKind
from tickwire.core.record_check import check_record
from tickwire.core.tick import MAX_PRICE, MAX_SIZE, blank_ticks
from tickwire.core.timestamps import MAX_TIMESTAMP_NS
from tickwire.errors import InputError

NOW = 1_767_366_000_000_000_000
TICKS, NAMED, CANDLES = RecordKind.TICKS, RecordKind.NAMED_EVENT, RecordKind.CANDLES
CORRECTION = {"symbol": "A", "ts": 5, "last": 1.0, "size": 2.0}
STATUS = {"symbol": None, "state": "running", "speed": 1.0, "halted": [], "model": None, "notice": None}


def ticks(count=1, **fields):
    packed = blank_ticks(count)
    packed["symbol"], packed["ts"], packed["last"] = b"A", NOW, 5.0
    for name, value in fields.items():
        packed[name] = value
    return packed.tobytes()


def candle(**fields):
    packed = np.zeros(1, CANDLE_DTYPE)
    packed["symbol"], packed["interval"] = b"A", 60
    for name, value in fields.items():
        packed[name] = value
    return packed.tobytes()


def named(name, data, kind=None, target=None):
    raw = msgspec.Raw(data if isinstance(data, bytes) else encode_json(data))
    return encode_json(NamedEvent(name=name, data=raw, kind=kind, target=target))


def status(**fields):
    return named("status", STATUS | fields)


INVALID = {
    "unknown kind": (9, 1, NOW, ticks()),
    "kind of unreadable events": (RecordKind.UNREADABLE, 1, NOW, b""),
    "no events": (TICKS, 0, NOW, b""),
    "negative count": (TICKS, -3, NOW, ticks()),
    "more events than ticks": (TICKS, 50, NOW, ticks()),
    "fewer events than ticks": (TICKS, 1, NOW, ticks(5)),
    "huge count": (TICKS, 2**62, NOW, ticks()),
    "a part of a tick": (TICKS, 1, NOW, ticks()[:-3]),
    "no ticks": (TICKS, 1, NOW, b""),
    "negative append time": (TICKS, 1, -(2**63), ticks()),
    "late append time": (TICKS, 1, MAX_TIMESTAMP_NS + 1, ticks()),
    "symbol not in ASCII": (TICKS, 1, NOW, ticks(symbol=b"\xff\xfe")),
    "empty symbol": (TICKS, 1, NOW, ticks(symbol=b"")),
    "symbol with a newline": (TICKS, 1, NOW, ticks(symbol=b"A\nid: 5\n")),
    "symbol with a quote": (TICKS, 1, NOW, ticks(symbol=b'A","x":"')),
    "symbol with a zero byte inside": (TICKS, 1, NOW, ticks(symbol=b"A\0B")),
    "symbol that begins with a zero byte": (TICKS, 1, NOW, ticks(symbol=b"\0B")),
    "late tick": (TICKS, 1, NOW, ticks(ts=2**63 - 1)),
    "tick before 1970": (TICKS, 1, NOW, ticks(ts=-1)),
    "huge price": (TICKS, 1, NOW, ticks(last=1e308)),
    "reset after another tick": (TICKS, 2, NOW, ticks() + ticks(last=np.inf)),
    "reset before another tick": (TICKS, 2, NOW, ticks(last=np.inf) + ticks()),
    "reset with a bid": (TICKS, 1, NOW, ticks(last=np.inf, bid=5)),
    "negative infinite last price": (TICKS, 1, NOW, ticks(last=-np.inf)),
    "negative infinite bid": (TICKS, 1, NOW, ticks(bid=-np.inf)),
    "negative size of a bid": (TICKS, 1, NOW, ticks(bid_size=-1.0)),
    "withdrawal of a huge trade": (TICKS, 1, NOW, ticks(size=-2 * MAX_SIZE)),
    "huge size": (TICKS, 1, NOW, ticks(bid_size=1e300)),
    "infinite volume": (TICKS, 1, NOW, ticks(volume=np.inf)),
    "a part of a candle": (CANDLES, 1, NOW, b"xyz"),
    "unknown interval": (CANDLES, 1, NOW, candle(interval=7)),
    "candle with an invalid symbol": (CANDLES, 1, NOW, candle(symbol=b"A,B")),
    "candle before 1970": (CANDLES, 1, NOW, candle(start=-1)),
    "candle without a price": (CANDLES, 1, NOW, candle(close=np.nan)),
    "named event without JSON": (NAMED, 1, NOW, b"nope"),
    "empty named event": (NAMED, 1, NOW, b""),
    "named event without a name": (NAMED, 1, NOW, b'{"data":1}'),
    "five named events": (NAMED, 5, NOW, named("note", 1)),
    "name with a newline": (NAMED, 1, NOW, named("a\nid: x", 1, "message")),
    "name with a newline at its end": (NAMED, 1, NOW, named("a\n", 1, "message")),
    "long name": (NAMED, 1, NOW, named("a" * 65, 1)),
    "kind with a newline": (NAMED, 1, NOW, named("a", 1, "message\n")),
    "long target": (NAMED, 1, NOW, named("a", 1, "message", "x" * 161)),
    "data that is not UTF-8": (NAMED, 1, NOW, named("a", b'"\xff"', "message")),
    "data that is nested deeply": (NAMED, 1, NOW, named("a", b"[" * 100_000 + b"]" * 100_000, "message")),
    "message with the name of a stream event": (NAMED, 1, NOW, named("bye", 1, "message")),
    "message that an EventSource dispatches itself": (NAMED, 1, NOW, named("message", 1)),
    "quote as a named event": (NAMED, 1, NOW, named("quote", 1)),
    "named event of the kind candle": (NAMED, 1, NOW, named("note", 1, "candle")),
    "status that is a list": (NAMED, 1, NOW, named("status", [])),
    "status of another name": (NAMED, 1, NOW, named("note", [], "status")),
    "status without keys": (NAMED, 1, NOW, named("status", {"symbol": None})),
    "status with an unknown state": (NAMED, 1, NOW, status(state="on fire")),
    "status with an invalid halted symbol": (NAMED, 1, NOW, status(halted=["A\n"])),
    "status with a halted number": (NAMED, 1, NOW, status(halted=[5])),
    "status with an invalid state of a vendor": (NAMED, 1, NOW, status(sources={"kraken": 5})),
    "correction without a trade": (NAMED, 1, NOW, named("correction", {"symbol": "A"})),
    "correction of an invalid symbol": (NAMED, 1, NOW, named("correction", {**CORRECTION, "symbol": "A\n"})),
    "status with a negative speed": (NAMED, 1, NOW, status(speed=-1)),
    "clock without a number": (NAMED, 1, NOW, named("clock", {"ts": "x"})),
    "clock far in the future": (NAMED, 1, NOW, named("clock", {"ts": 9_000_000_000_000_000})),
}
VALID = {
    "withdrawal of a trade": (TICKS, 1, NOW, ticks(size=-MAX_SIZE)),
    "correction": (NAMED, 1, NOW, named("correction", CORRECTION)),
    "states of vendors": (NAMED, 1, NOW, status(connection="connected", sources={"kraken": "stale"})),
    "largest numbers": (TICKS, 2, MAX_TIMESTAMP_NS, ticks(2, last=-MAX_PRICE, size=MAX_SIZE, ts=MAX_TIMESTAMP_NS)),
    "nothing reported": (TICKS, 1, 0, ticks(last=np.nan, ts=0)),
    "empty sides": (TICKS, 1, NOW, ticks(bid=np.inf, ask=np.inf, bid_size=np.inf, ask_size=np.inf)),
    "resets": (TICKS, 2, NOW, ticks(2, last=np.inf)),
    "longest symbol": (TICKS, 1, NOW, ticks(symbol=b"A._:/^=+#&@$!~-9" * 2)),
    "candle": (CANDLES, 1, NOW, candle()),
    "message": (NAMED, 1, NOW, named("note", {"a": "\u2028\n"}, "message", "user:ann")),
    "status": (NAMED, 1, NOW, status(symbol="A", halted=["A"], scenario="crash", feed="http", more=1)),
    "clock": (NAMED, 1, NOW, named("clock", {"ts": 5})),
    "admin event of another version": (NAMED, 1, NOW, named("control", {"do": "explode"}, "control")),
    "event of a kind that is not known yet": (NAMED, 1, NOW, named("note", 1)),
}


@pytest.mark.parametrize("record", INVALID.values(), ids=INVALID)
def test_check_record_rejects_invalid_data(record):
    with pytest.raises(InputError):
        check_record(*record)


@pytest.mark.parametrize("record", VALID.values(), ids=VALID)
def test_check_record_accepts_valid_data(record):
    check_record(*record)


@pytest.mark.parametrize(
    "record", [record for record in INVALID.values() if record[0] in (TICKS, CANDLES) and record[1] == 1]
)
def test_check_record_rejects_invalid_data_in_a_batch(record):
    """Separate code checks a batch and a single tick or candle."""
    kind, count, appended_ts, data = record
    valid = ticks() if kind is TICKS else candle()
    with pytest.raises(InputError):
        check_record(kind, count + 1, appended_ts, data + valid)
