"""A scenario goes on in a market that begins anew, wherever the one before was cut off."""

from __future__ import annotations

import random

import numpy as np
import pytest

from tickwire.feeds.open import FeedOptions, open_feed
from tickwire.feeds.simulator import Before, Played, Simulator
from tickwire.market.model import Model, SymbolModel
from tickwire.market.scenario import read_scenario
from tickwire.testing.clock import ManualClock

START = 1_767_366_000 * 10**9
SYMBOLS = {"FAST": 8.0, "SLOW": 0.2, "HELD": 4.0, "FREE": 4.0, "BUSY": 4.0, "MUTE": 4.0, "CUT": 1.0}
CALM = Model(
    format=1,
    version="calm",
    symbols=tuple(
        SymbolModel(symbol=name, price=100.0, volatility=1e-4, activity=activity) for name, activity in SYMBOLS.items()
    ),
)
TEXT = """
name = "all"
[[event]]
at = "2s"
do = "crash"
symbols = ["FAST", "SLOW", "HELD"]
fall = 0.2
over = "4s"
recover = "8s"
[[event]]
at = "3s"
do = "halt"
symbols = ["HELD"]
lasts = "8s"
[[event]]
at = "2s"
do = "halt"
symbols = ["FREE"]
[[event]]
at = "9s"
do = "resume"
symbols = ["FREE"]
[[event]]
at = "4s"
do = "burst"
symbols = ["BUSY"]
times = 20
lasts = "6s"
[[event]]
at = "5s"
do = "mute"
symbols = ["MUTE"]
lasts = "6s"
[[event]]
at = "6s"
do = "split"
symbols = ["CUT"]
ratio = 4
"""
SCENARIO = read_scenario(TEXT)
LENGTH = 20.0


class Seen:
    """What a board would have of a simulation."""

    def __init__(self) -> None:
        self.prices: dict[str, float] = {}
        self.times: dict[str, int] = {}
        self.newest = 0
        self.halted: set[str] = set()
        self.ticks: list[np.ndarray] = []

    async def watch(self, feed: Simulator, until: int) -> None:
        """Take what comes up to a moment of market time."""
        async for batch in feed.batches():
            for symbol, trades in batch.trading.items():
                assert trades == (symbol in self.halted)
                self.halted ^= {symbol}
            ticks = batch.ticks[batch.ticks["ts"] < until]
            self.ticks.append(ticks)
            for tick in ticks:
                name = tick["symbol"].decode()
                assert name not in self.halted
                self.prices[name], self.times[name], self.newest = float(tick["last"]), int(tick["ts"]), int(tick["ts"])
            if len(batch.ticks) and batch.ticks["ts"][-1] >= until:
                return

    def before(self) -> Before:
        return Before(dict(self.prices), dict(self.times), self.newest, {*self.halted})

    def of(self, name: str, since: float, until: float, start: int) -> np.ndarray:
        ticks = np.concatenate(self.ticks)
        at = (ticks["ts"] - start) / 1e9
        return ticks[(ticks["symbol"] == name.encode()) & (at >= since) & (at < until)]


def simulation(begin: int, before: Before, **given: object) -> Simulator:
    return Simulator(CALM, ManualClock(), seed=1, start=begin, rate=5.0, speed=0.0, before=before, **given)


def depth(at: float) -> float:
    """How much of the fall is in the price."""
    return min(max((at - 2) / 4, 0), 1) - min(max((at - 6) / 8, 0), 1)


@pytest.mark.parametrize("seed", range(16))
async def test_a_scenario_goes_on_wherever_it_was_cut_off(seed: int) -> None:
    """Up to three cuts with pauses between: prices, halts, bursts and silence are as if there had been none."""
    rng = random.Random(seed)
    cuts = sorted(rng.uniform(0.5, 14) for _ in range(rng.randint(1, 3)))
    pauses = [rng.uniform(0.01, 2) for _ in cuts]
    print(f"seed {seed}: cut at {cuts} for {pauses}")
    seen, feed, start = Seen(), simulation(START, Before(), scenario=SCENARIO), START
    for cut, pause in zip(cuts, pauses, strict=True):
        if start + int(cut * 1e9) > seen.newest:
            await seen.watch(feed, start + int(cut * 1e9))
        played, before = feed.played, seen.before()
        feed = simulation(before.newest + int(pause * 1e9), before, played=played)
        assert feed.played == played
    await seen.watch(feed, start + int(LENGTH * 1e9))
    last = cuts[-1] + sum(pauses) + 0.4
    for name in ("FAST", "SLOW", "HELD"):
        for tick in seen.of(name, last, LENGTH, start):
            at = (int(tick["ts"]) - start) / 1e9
            expected = [100 * 0.8 ** depth(at + lead) for lead in np.linspace(0, 0.2, 11)]
            assert min(expected) * 0.998 < tick["last"] < max(expected) * 1.002, (name, at)
    assert all(24.9 < price < 25.1 for price in seen.of("CUT", max(last, 6.2), LENGTH, start)["last"])
    for name, since, until in (("HELD", 3.2, 10.8), ("FREE", 2.2, 8.8), ("MUTE", 5.2, 10.8)):
        assert not len(seen.of(name, max(last, since), until, start)), name
    for name in SYMBOLS:
        assert len(seen.of(name, 15, LENGTH, start)) or name == "SLOW"
    assert not seen.halted
    if last < 6:
        assert len(seen.of("BUSY", 7, 9, start)) > 5 * len(seen.of("BUSY", 15, 17, start))


async def test_a_market_that_begins_anew_tells_who_trades_again() -> None:
    """Nobody plays on what had stopped them, and whoever was told so is told that they trade."""
    before = Before(newest=START, halted={"HELD", "GONE"})
    feed = simulation(START, before)
    first = await anext(aiter(feed.batches()))
    assert (len(first.ticks), dict(first.trading)) == (0, {"GONE": True, "HELD": True})


async def test_what_was_stopped_trades_after_a_new_start() -> None:
    """`START` after `STOP` begins the scenario from its beginning: what it holds only later trades until then."""
    feed = simulation(START, Before(), scenario=SCENARIO)
    told: list[dict[str, bool]] = []
    async for batch in feed.batches():
        if batch.trading:
            told.append(dict(batch.trading))
            if len(told) == 2:
                feed.pace.stop()
                feed.pace.start()
            elif len(told) == 3:
                break
    assert told == [{"FREE": False}, {"HELD": False}, {"FREE": True, "HELD": True}]


ENDS = 'name = "all"\n[[event]]\nat = "2s"\ndo = "crash"\nfall = 0.2\nover = "4s"\nrecover = "8s"\n'


@pytest.mark.parametrize(
    ("by_hand", "given", "passed", "goes_on"),
    [
        (True, None, 5, True),  # it was put, and nobody has ended it
        (True, ENDS.replace('"all"', '"other"'), 5, True),
        (True, None, 14, False),  # over
        (False, None, 5, False),  # the server was told to play it, and is not told so any more
        (False, ENDS, 5, True),
        (False, ENDS, 14, False),
        (False, ENDS.replace('"all"', '"other"'), 5, False),
    ],
)
def test_what_is_played_after_a_restart(tmp_path, by_hand, given, passed, goes_on) -> None:
    """What was put goes on until it is over, what was given at the start while it is still given."""
    path = tmp_path / "given.toml"
    path.write_text(given or "")
    options = FeedOptions(
        model=CALM, start=START, scenario=path if given else None, played=Played(read_scenario(ENDS), START, by_hand)
    )
    feed = open_feed("simulator", options, ManualClock(), Before(newest=START + passed * 10**9))
    assert isinstance(feed, Simulator)
    if goes_on:
        assert feed.scenario == read_scenario(ENDS)
        assert feed.played.began <= START + 1
    else:
        assert feed.scenario == (read_scenario(given) if given else None)
        assert feed.played is None or feed.played.began > START
