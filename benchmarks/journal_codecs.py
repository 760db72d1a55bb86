"""Measure the batch formats on NATS: their size, and the time to encode and decode a batch."""

from __future__ import annotations

import time
from collections.abc import Callable

from benchmarks.in_process import bench_ticks
from benchmarks.report import Row
from tickwire.core.event import ticks_entry
from tickwire.errors import InputError
from tickwire.journal.codecs.commit import Commit, item_from_entry
from tickwire.journal.codecs.registry import CodecName, find_codec

COLUMNS = {"bytes": "bytes", "encode_us": "encode us", "decode_us": "decode us"}
_CODECS: tuple[CodecName, ...] = ("json", "packed", "protobuf", "flatbuffers")
_BATCH_SIZES = (1, 500)


def measure_journal_codecs(seconds: float) -> list[Row]:
    """Encode and decode one tick, and a batch of 500, in each format."""
    return [_measure_codec(name, count, seconds / 4) for count in _BATCH_SIZES for name in _CODECS]


def _measure_codec(name: CodecName, count: int, seconds: float) -> Row:
    title = f"{name}, {count} a batch"
    item = item_from_entry(ticks_entry(bench_ticks(count), source="bench"), time.time_ns())
    commit = Commit(1, "0123456789abcdef", [item])
    try:
        codec = find_codec(name)
    except InputError as error:
        return {"name": title, "missing": str(error)}
    data = codec.encode(commit)
    return {
        "name": title,
        "bytes": len(data),
        "encode_us": _microseconds_per_call(lambda: codec.encode(commit), seconds),
        "decode_us": _microseconds_per_call(lambda: codec.decode(data), seconds),
    }


def _microseconds_per_call(work: Callable[[], object], seconds: float) -> float:
    """Return the microseconds per call of `work`, including garbage collection and clock reads."""
    count, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        work()
        count += 1
    return round(1e6 * (time.perf_counter() - start) / count, 2)
