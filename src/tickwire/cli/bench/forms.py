"""The forms in which batches travel between programs: how large, and how long to write and to read."""

from __future__ import annotations

import time
from collections.abc import Callable

from tickwire.cli.bench.local import bench_ticks
from tickwire.cli.bench.report import Row
from tickwire.core.event import ticks_entry
from tickwire.errors import InputError
from tickwire.journal.nats.commit import Commit, item_of
from tickwire.journal.nats.wire.forms import Codec, form

COLUMNS = {"bytes": "bytes", "encode_us": "encode us", "decode_us": "decode us"}
_FORMS: tuple[Codec, ...] = ("json", "packed", "protobuf", "flatbuffers")
_COUNTS = (1, 500)


def forms(seconds: float) -> list[Row]:
    """One tick, and a batch of 500, in each form."""
    return [_row(name, count, seconds / 4) for count in _COUNTS for name in _FORMS]


def _row(name: Codec, count: int, seconds: float) -> Row:
    title = f"{name}, {count} a batch"
    commit = Commit(1, "0123456789abcdef", [item_of(ticks_entry(bench_ticks(count), source="bench"), time.time_ns())])
    try:
        used = form(name)
    except InputError as error:
        return {"name": title, "missing": str(error)}
    data = used.encode(commit)
    return {
        "name": title,
        "bytes": len(data),
        "encode_us": _microseconds(lambda: used.encode(commit), seconds),
        "decode_us": _microseconds(lambda: used.decode(data), seconds),
    }


def _microseconds(work: Callable[[], object], seconds: float) -> float:
    """What one call takes; garbage and clock reads included."""
    count, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        work()
        count += 1
    return round(1e6 * (time.perf_counter() - start) / count, 2)
