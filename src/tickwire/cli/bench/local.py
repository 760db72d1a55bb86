"""Benchmarks inside this process: journal, codecs, simulator."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tickwire.cli.bench.report import Row
from tickwire.clock import SystemClock
from tickwire.core.event import ticks_entry
from tickwire.core.tick import LATEST_TS, Ticks
from tickwire.hub.applied import AppliedQuotes
from tickwire.journal.base import Journal, Retention
from tickwire.journal.memory import MemoryJournal
from tickwire.journal.sqlite import SQLiteJournal, Synchronous
from tickwire.market.board import Board
from tickwire.market.candles import Candles
from tickwire.market.model import Halts, Jumps, Model, Profile, Session, SymbolModel
from tickwire.market.walk import Walk

JOURNAL_COLUMNS = {"ticks_per_s": "ticks/s", "us_per_append": "us/append"}
CODEC_COLUMNS = {"us_per_tick": "us/tick", "ticks_per_s": "ticks/s"}
SIMULATOR_COLUMNS = {"ticks_per_s": "ticks/s"}
_BATCHES = (1, 100, 500)
_MODES: tuple[Synchronous, ...] = ("NORMAL", "FULL")
_TOGETHER = 16  # appends under way at once, as with several publishers
_CODEC_TICKS = 500


def journal(seconds: float) -> list[Row]:
    """Appends a second, durable against kill -9 (NORMAL) and against a power cut (FULL)."""
    return asyncio.run(_journal(seconds))


async def _journal(seconds: float) -> list[Row]:
    rows = []
    with tempfile.TemporaryDirectory(prefix="tickwire-bench-", dir=Path.cwd()) as name:
        for count in _BATCHES:
            rows.append(
                await append_rate(f"memory, {count} a batch", MemoryJournal(Retention(), SystemClock()), count, seconds)
            )
            for synchronous in _MODES:
                path = Path(name) / f"{count}-{synchronous}"
                opened = await SQLiteJournal.open(path, Retention(), SystemClock(), synchronous)
                rows.append(await append_rate(f"sqlite {synchronous}, {count} a batch", opened, count, seconds))
    return rows


async def append_rate(name: str, opened: Journal, count: int, seconds: float) -> Row:
    """Appends a second of so many ticks each; closes the journal."""
    entry = ticks_entry(bench_ticks(count), source="bench")
    end = time.perf_counter() + seconds
    appended, start = 0, time.perf_counter()
    while time.perf_counter() < end:
        await asyncio.gather(*(opened.append(entry) for _ in range(_TOGETHER)))
        appended += _TOGETHER
    spent = time.perf_counter() - start
    await opened.close()
    return {
        "name": name,
        "ticks_per_s": round(appended * count / spent),
        "us_per_append": round(1e6 * spent / appended, 1),
    }


def codecs(seconds: float) -> list[Row]:
    """From packed ticks to quotes, to JSON frames with all fields, and to candles of all intervals."""
    board, ticks = Board(bench_model(_CODEC_TICKS).instruments()), bench_ticks(_CODEC_TICKS)
    sequence = 1

    def applied() -> AppliedQuotes:
        nonlocal sequence
        quotes = board.apply(ticks, sequence)
        sequence += len(ticks)
        return AppliedQuotes(b"bench0-", sequence - len(ticks), quotes)

    return [
        _timed("board: ticks to quotes", applied, seconds),
        _timed("packed tick to JSON frame", lambda: applied().all_frames(), seconds),
        _timed("candles of 8 intervals, 20,000 ticks/s", _candles(ticks, 20_000), seconds),
        _timed("candles of 8 intervals, 500 ticks/s", _candles(ticks, 500), seconds),
    ]


def _candles(ticks: Ticks, rate: int) -> Callable[[], object]:
    """What makes candles of a batch that comes as often as a market of that many ticks a second has one."""
    candles, ticks = Candles(), ticks.copy()

    def apply() -> None:
        candles.apply(ticks, 1, LATEST_TS * 1000)
        ticks["ts"] += len(ticks) * 10**9 // rate

    return apply


def _timed(name: str, work: object, seconds: float) -> Row:
    assert callable(work)  # noqa: S101  # narrows for the type checker
    count, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        work()
        count += _CODEC_TICKS
    spent = time.perf_counter() - start
    return {"name": name, "us_per_tick": round(1e6 * spent / count, 3), "ticks_per_s": round(count / spent)}


def simulator(seconds: float) -> list[Row]:
    """Ticks generated a second: symbols in eleven sectors that move together, each trading three times a second."""
    return [_generated(symbols, seconds) for symbols in (100, 5_000)]


def _generated(symbols: int, seconds: float) -> Row:
    walk = Walk(bench_model(symbols), np.random.default_rng(1), time.time_ns())
    made, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        made += len(walk.block().ticks)
    spent = time.perf_counter() - start
    return {"name": f"{symbols} symbols", "ticks_per_s": round(made / spent)}


def bench_model(count: int) -> Model:
    """Symbols of eleven sectors, with all that a model can have."""
    jumps = Jumps(per_year=4, deviation=0.05)
    symbols = [
        SymbolModel(
            symbol=f"S{number}", sector=f"sector {number % 11}", price=100.0, eps=3.1, shares=1.5e9, jumps=jumps
        )
        for number in range(count)
    ]
    session = Session(open="00:00", close="23:59", overnight=0.2)
    profile = Profile(volume=(2, 1, 1, 2), volatility=(1.5, 1, 1, 1.2))
    return Model(
        format=1, version="bench", symbols=tuple(symbols), halts=Halts(move=0.1), session=session, profile=profile
    )


def bench_ticks(count: int) -> Ticks:
    """One tick of each of `count` symbols."""
    return Walk(bench_model(count), np.random.default_rng(1), time.time_ns(), rate=1e-9).block().ticks[:count]
