"""Benchmarks without a server: journal, encoding and simulator."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.report import Row
from tickwire.clock import SystemClock
from tickwire.core.event import ticks_entry
from tickwire.core.tick import MAX_TIMESTAMP_US, PackedTicks
from tickwire.hub.fanout.rendered_events import RenderedQuotes
from tickwire.journal.base import Journal, Retention
from tickwire.journal.memory import MemoryJournal
from tickwire.journal.options import SynchronousMode
from tickwire.journal.sqlite.journal import SQLiteJournal
from tickwire.market.board import Board
from tickwire.market.candle_aggregator import CandleAggregator
from tickwire.simulation.model import HaltRule, IntradayProfile, Jumps, MarketModel, SymbolModel, TradingHours
from tickwire.simulation.price_process import PriceProcess

JOURNAL_COLUMNS = {"ticks_per_s": "ticks/s", "us_per_append": "us/append"}
CODEC_COLUMNS = {"us_per_tick": "us/tick", "ticks_per_s": "ticks/s"}
SIMULATOR_COLUMNS = {"ticks_per_s": "ticks/s"}
_BATCH_SIZES = (1, 100, 500)
_SYNCHRONOUS_MODES: tuple[SynchronousMode, ...] = ("NORMAL", "FULL")
# The number of concurrent appends, which simulate several publishers.
_CONCURRENT_APPENDS = 16
_TICKS_PER_BATCH = 500


def measure_journal(seconds: float) -> list[Row]:
    """Measure appends per second, with durability against kill -9 (NORMAL) and against a power cut (FULL)."""
    return asyncio.run(_measure_journal(seconds))


async def _measure_journal(seconds: float) -> list[Row]:
    rows = []
    with tempfile.TemporaryDirectory(prefix="tickwire-bench-", dir=Path.cwd()) as name:
        for count in _BATCH_SIZES:
            memory = MemoryJournal(Retention(), SystemClock())
            rows.append(await measure_appends(f"memory, {count} a batch", memory, count, seconds))
            for synchronous in _SYNCHRONOUS_MODES:
                path = Path(name) / f"{count}-{synchronous}"
                sqlite = await SQLiteJournal.open(path, Retention(), SystemClock(), synchronous)
                rows.append(await measure_appends(f"sqlite {synchronous}, {count} a batch", sqlite, count, seconds))
    return rows


async def measure_appends(name: str, journal: Journal, count: int, seconds: float) -> Row:
    """Append batches of `count` ticks for `seconds`. Then close the journal."""
    entry = ticks_entry(bench_ticks(count), source="bench")
    appended, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        await asyncio.gather(*(journal.append(entry) for _ in range(_CONCURRENT_APPENDS)))
        appended += _CONCURRENT_APPENDS
    elapsed_s = time.perf_counter() - start
    await journal.close()
    return {
        "name": name,
        "ticks_per_s": round(appended * count / elapsed_s),
        "us_per_append": round(1e6 * elapsed_s / appended, 1),
    }


def measure_encoding(seconds: float) -> list[Row]:
    """Measure the time from packed ticks to quotes, to JSON frames with all fields, and to candles of all intervals."""
    board, ticks = Board(bench_model(_TICKS_PER_BATCH).instruments()), bench_ticks(_TICKS_PER_BATCH)
    sequence = 1

    def apply() -> RenderedQuotes:
        nonlocal sequence
        quotes = board.apply(ticks, sequence)
        sequence += len(ticks)
        return RenderedQuotes(b"bench0-", sequence - len(ticks), quotes)

    return [
        _time_per_tick("board: ticks to quotes", apply, seconds),
        _time_per_tick("packed tick to JSON frame", lambda: apply().all_frames(), seconds),
        _time_per_tick("candles of 8 intervals, 20,000 ticks/s", _candle_workload(ticks, 20_000), seconds),
        _time_per_tick("candles of 8 intervals, 500 ticks/s", _candle_workload(ticks, 500), seconds),
    ]


def _candle_workload(ticks: PackedTicks, rate: int) -> Callable[[], object]:
    """Return a function that builds candles from one batch of a market with `rate` ticks per second."""
    candles, ticks = CandleAggregator(), ticks.copy()

    def apply() -> None:
        candles.apply(ticks, 1, MAX_TIMESTAMP_US * 1000)
        ticks["ts"] += len(ticks) * 10**9 // rate

    return apply


def _time_per_tick(name: str, work: Callable[[], object], seconds: float) -> Row:
    count, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        work()
        count += _TICKS_PER_BATCH
    elapsed_s = time.perf_counter() - start
    return {"name": name, "us_per_tick": round(1e6 * elapsed_s / count, 3), "ticks_per_s": round(count / elapsed_s)}


def measure_simulator(seconds: float) -> list[Row]:
    """Measure simulated ticks per second. The symbols are correlated, and each symbol trades three times per second."""
    return [_measure_generation(symbols, seconds) for symbols in (100, 5_000)]


def _measure_generation(symbols: int, seconds: float) -> Row:
    process = PriceProcess(bench_model(symbols), np.random.default_rng(1), time.time_ns())
    count, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        count += len(process.simulate_block().ticks)
    return {"name": f"{symbols} symbols", "ticks_per_s": round(count / (time.perf_counter() - start))}


def bench_model(count: int) -> MarketModel:
    """Return a model of `count` symbols in eleven sectors, with every feature of the model format."""
    jumps = Jumps(per_year=4, deviation=0.05)
    symbols = [
        SymbolModel(
            symbol=f"S{number}", sector=f"sector {number % 11}", price=100.0, eps=3.1, shares=1.5e9, jumps=jumps
        )
        for number in range(count)
    ]
    session = TradingHours(open="00:00", close="23:59", overnight=0.2)
    profile = IntradayProfile(volume=(2, 1, 1, 2), volatility=(1.5, 1, 1, 1.2))
    return MarketModel(
        format=1, version="bench", symbols=tuple(symbols), halts=HaltRule(move=0.1), session=session, profile=profile
    )


def bench_ticks(count: int) -> PackedTicks:
    """Return `count` ticks, one per symbol."""
    process = PriceProcess(bench_model(count), np.random.default_rng(1), time.time_ns(), trades_per_second=1e-9)
    return process.simulate_block().ticks[:count]
