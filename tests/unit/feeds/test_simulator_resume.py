"""A scenario continues after a restart of the simulator at any time."""

from __future__ import annotations

import random

import numpy as np
import pytest

from tickwire.feeds.feed_kind import FeedOptions, MarketState, ScenarioRun
from tickwire.feeds.registry import open_feed
from tickwire.feeds.simulator import SimulatorFeed
from tickwire.simulation.model import MarketModel, SymbolModel
from tickwire.simulation.scenario import parse_scenario
from tickwire.testing.clock import ManualClock

START = 1_767_366_000 * 10**9
SYMBOLS = {"FAST": 8.0, "SLOW": 0.2, "HELD": 4.0, "FREE": 4.0, "BUSY": 4.0, "MUTE": 4.0, "CUT": 1.0}
CALM = MarketModel(
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
SCENARIO = parse_scenario(TEXT)
LENGTH = 20.0


class SimulationView:
    """The state that a board would have after the ticks of a simulation."""

    def __init__(self) -> None:
        self.prices: dict[str, float] = {}
        self.times: dict[str, int] = {}
        self.newest = 0
        self.halted: set[str] = set()
        self.ticks: list[np.ndarray] = []

    async def watch(self, feed: SimulatorFeed, until: int) -> None:
        """Read batches until a tick reaches the market time `until`."""
        async for batch in feed.batches():
            for symbol, trades in batch.trading_changes.items():
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

    def resume_state(self) -> MarketState:
        return MarketState(dict(self.prices), dict(self.times), self.newest, {*self.halted})

    def symbol_ticks(self, name: str, since: float, until: float, start: int) -> np.ndarray:
        ticks = np.concatenate(self.ticks)
        at = (ticks["ts"] - start) / 1e9
        return ticks[(ticks["symbol"] == name.encode()) & (at >= since) & (at < until)]


def simulation(begin: int, before: MarketState, **options: object) -> SimulatorFeed:
    return SimulatorFeed(CALM, ManualClock(), seed=1, start=begin, rate=5.0, speed=0.0, initial_state=before, **options)


def crash_depth(at: float) -> float:
    """Return the depth of the crash `at` seconds after the start: 0 before the fall, 1 at the bottom."""
    return min(max((at - 2) / 4, 0), 1) - min(max((at - 6) / 8, 0), 1)


@pytest.mark.parametrize("seed", range(16))
async def test_scenario_continues_after_restarts(seed: int) -> None:
    """Prices, halts, bursts and silence are the same with up to three restarts and pauses as without a restart."""
    rng = random.Random(seed)
    cuts = sorted(rng.uniform(0.5, 14) for _ in range(rng.randint(1, 3)))
    pauses = [rng.uniform(0.01, 2) for _ in cuts]
    print(f"seed {seed}: cut at {cuts} for {pauses}")
    view, feed, start = SimulationView(), simulation(START, MarketState(), scenario=SCENARIO), START
    for cut, pause in zip(cuts, pauses, strict=True):
        if start + int(cut * 1e9) > view.newest:
            await view.watch(feed, start + int(cut * 1e9))
        run, before = feed.scenario_run, view.resume_state()
        feed = simulation(before.newest_time + int(pause * 1e9), before, scenario_run=run)
        assert feed.scenario_run == run
    await view.watch(feed, start + int(LENGTH * 1e9))
    last = cuts[-1] + sum(pauses) + 0.4
    for name in ("FAST", "SLOW", "HELD"):
        for tick in view.symbol_ticks(name, last, LENGTH, start):
            at = (int(tick["ts"]) - start) / 1e9
            expected = [100 * 0.8 ** crash_depth(at + block_lead) for block_lead in np.linspace(0, 0.2, 11)]
            assert min(expected) * 0.998 < tick["last"] < max(expected) * 1.002, (name, at)
    assert all(24.9 < price < 25.1 for price in view.symbol_ticks("CUT", max(last, 6.2), LENGTH, start)["last"])
    for name, since, until in (("HELD", 3.2, 10.8), ("FREE", 2.2, 8.8), ("MUTE", 5.2, 10.8)):
        assert not len(view.symbol_ticks(name, max(last, since), until, start)), name
    for name in SYMBOLS:
        assert len(view.symbol_ticks(name, 15, LENGTH, start)) or name == "SLOW"
    assert not view.halted
    if last < 6:
        assert len(view.symbol_ticks("BUSY", 7, 9, start)) > 5 * len(view.symbol_ticks("BUSY", 15, 17, start))


async def test_restart_without_a_scenario_resumes_halted_symbols() -> None:
    """The feed reports that the halted symbols trade again."""
    before = MarketState(newest_time=START, halted_symbols={"HELD", "GONE"})
    feed = simulation(START, before)
    first = await anext(aiter(feed.batches()))
    assert (len(first.ticks), dict(first.trading_changes)) == (0, {"GONE": True, "HELD": True})


async def test_start_after_stop_resumes_halted_symbols() -> None:
    """`START` after `STOP` plays the scenario from its beginning. Symbols trade until the scenario halts them again."""
    feed = simulation(START, MarketState(), scenario=SCENARIO)
    changes: list[dict[str, bool]] = []
    async for batch in feed.batches():
        if batch.trading_changes:
            changes.append(dict(batch.trading_changes))
            if len(changes) == 2:
                feed.playback_clock.stop()
                feed.playback_clock.start()
            elif len(changes) == 3:
                break
    assert changes == [{"FREE": False}, {"HELD": False}, {"FREE": True, "HELD": True}]


ENDING_SCENARIO = 'name = "all"\n[[event]]\nat = "2s"\ndo = "crash"\nfall = 0.2\nover = "4s"\nrecover = "8s"\n'


@pytest.mark.parametrize(
    ("by_command", "configured", "elapsed_s", "continues"),
    [
        # A command started the scenario, and the scenario has not ended.
        (True, None, 5, True),
        (True, ENDING_SCENARIO.replace('"all"', '"other"'), 5, True),
        # The scenario is over.
        (True, None, 14, False),
        # The scenario came from a setting that is no longer present.
        (False, None, 5, False),
        (False, ENDING_SCENARIO, 5, True),
        (False, ENDING_SCENARIO, 14, False),
        (False, ENDING_SCENARIO.replace('"all"', '"other"'), 5, False),
    ],
)
def test_restart_continues_the_right_scenario(tmp_path, by_command, configured, elapsed_s, continues) -> None:
    """A scenario from a command continues until its end. A scenario from a setting needs the same setting again."""
    path = tmp_path / "given.toml"
    path.write_text(configured or "")
    options = FeedOptions(
        model=CALM,
        start=START,
        scenario_path=path if configured else None,
        scenario_run=ScenarioRun(parse_scenario(ENDING_SCENARIO), START, by_command),
    )
    feed = open_feed("simulator", options, ManualClock(), MarketState(newest_time=START + elapsed_s * 10**9))
    assert isinstance(feed, SimulatorFeed)
    if continues:
        assert feed.scenario == parse_scenario(ENDING_SCENARIO)
        assert feed.scenario_run.started_at <= START + 1
    else:
        assert feed.scenario == (parse_scenario(configured) if configured else None)
        assert feed.scenario_run is None or feed.scenario_run.started_at > START
