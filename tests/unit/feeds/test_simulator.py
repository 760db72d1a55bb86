"""The simulator feed: the same market at every speed, and after pauses and restarts."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import numpy as np
import pytest

from tickwire.feeds.feed_kind import MarketState, ScenarioRun
from tickwire.feeds.simulator import SimulatorFeed
from tickwire.simulation.scenario import parse_scenario
from tickwire.simulation.universe import built_in_model
from tickwire.testing.clock import ManualClock

NOON = 1_767_366_000 * 10**9  # Friday 2026-01-02, 15:00 UTC
HOUR = 3600 * 10**9


class BatchCollector:
    """Collects the batches of a simulator."""

    def __init__(self, clock: ManualClock, **options: Any) -> None:
        self.feed = SimulatorFeed(built_in_model(), clock, **options)
        self.parts: list[np.ndarray] = []
        self.task = asyncio.create_task(self._collect_batches())

    async def _collect_batches(self) -> None:
        async for batch in self.feed.batches():
            self.parts.append(batch.ticks)

    async def wait_for_ticks(self, clock: ManualClock, count: int, seconds: float) -> list[tuple]:
        """Advance the clock in steps until the first `count` ticks have arrived, and return them."""
        await clock.advance(0)
        while sum(map(len, self.parts)) < count:
            await clock.advance(seconds)
        self.task.cancel()
        return np.concatenate(self.parts)[:count].tolist()


@pytest.mark.parametrize("speed", [0.5, 1.0, 20.0, 1000.0, 0.0])
async def test_seed_repeats_the_market_at_every_speed(speed: float) -> None:
    """The same seed gives identical ticks and times at every speed. Another seed gives different ticks."""
    runs = []
    for seed, playback_speed in ((7, 1.0), (7, speed), (8, speed)):
        clock = ManualClock()
        runs.append(
            await BatchCollector(clock, seed=seed, speed=playback_speed).wait_for_ticks(
                clock, 1_500, 0.2 / max(playback_speed, 1)
            )
        )
    assert repr(runs[0]) == repr(runs[1])
    assert repr(runs[2]) != repr(runs[1])


async def test_pauses_and_steps_do_not_change_the_ticks() -> None:
    clock = ManualClock()
    uninterrupted = await BatchCollector(clock, seed=3).wait_for_ticks(clock, 1_500, 0.2)
    clock = ManualClock()
    collector = BatchCollector(clock, seed=3)
    for seconds in (0.31, 1.7, 0.02):
        await clock.advance(seconds)
        collector.feed.playback_clock.pause()
        before = len(collector.parts)
        await clock.advance(60)
        assert len(collector.parts) == before
        collector.feed.playback_clock.step(3)
        await clock.advance(1)
        assert len(collector.parts) > before
        collector.feed.playback_clock.resume()
        await clock.advance(0)
    assert repr(await collector.wait_for_ticks(clock, 1_500, 0.2)) == repr(uninterrupted)


async def test_time_and_prices_continue_after_a_restart() -> None:
    """The first tick after the restart is later than the last tick before it."""
    clock = ManualClock()
    newest = clock.now() + HOUR
    first = await BatchCollector(
        clock, seed=1, initial_state=MarketState({"AAPL": 1000.0}, newest_time=newest)
    ).wait_for_ticks(clock, 107, 0.2)
    prices = {tick[0]: tick[2] for tick in first}
    assert prices[b"AAPL"] == pytest.approx(1000.0, rel=0.01)
    assert min(tick[1] for tick in first) > newest


async def test_market_time_starts_at_the_start_option() -> None:
    """A market that already has ticks continues after its newest tick instead."""
    runs = []
    for hours in (0, 5):
        clock = ManualClock()
        await clock.advance(hours * 3600)
        runs.append(await BatchCollector(clock, seed=7, start=NOON).wait_for_ticks(clock, 500, 0.2))
    assert repr(runs[0]) == repr(runs[1])
    assert runs[0][0][1] == NOON
    clock = ManualClock()
    later = await BatchCollector(
        clock, seed=7, start=NOON, initial_state=MarketState(newest_time=NOON + HOUR)
    ).wait_for_ticks(clock, 107, 0.2)
    assert later[0][1] == NOON + HOUR + 1


async def test_a_past_fills_the_time_before_the_start() -> None:
    """Every minute of the past has ticks of a symbol. The market then continues at the last price of the past."""
    clock, options = ManualClock(), {"seed": 7, "start": NOON, "history_s": 3 * 3600}
    collector = BatchCollector(clock, **options)
    ticks = await collector.wait_for_ticks(clock, 60_000, 0.2)
    times = np.array([tick[1] for tick in ticks])
    assert ((times >= NOON - 3 * HOUR).all(), times[0], (times[:-1] <= times[1:]).all()) == (
        True,
        NOON - 3 * HOUR,
        True,
    )
    past = [tick for tick in ticks if tick[1] < NOON]
    assert 0.8 < len(past) / (3 * 180 * len(built_in_model().symbols)) < 1.2
    minutes = {tick[1] // (60 * 10**9) for tick in past if tick[0] == b"AAPL"}
    assert len(minutes) > 160
    first = next(tick for tick in ticks if tick[1] >= NOON and tick[0] == b"AAPL")
    last = [tick for tick in past if tick[0] == b"AAPL"][-1]
    assert first[2] == pytest.approx(last[2], rel=0.02)
    clock = ManualClock()
    assert repr(await BatchCollector(clock, **options).wait_for_ticks(clock, 60_000, 0.2)) == repr(ticks)


@pytest.mark.parametrize(("newest", "first"), [(NOON - HOUR, NOON - HOUR + 1), (NOON - 60 * 10**9, NOON)])
async def test_a_past_begins_after_the_newest_tick(newest: int, first: int) -> None:
    """If less time than a block of the past is missing, there is no past."""
    clock = ManualClock()
    collector = BatchCollector(
        clock, seed=7, start=NOON, history_s=5 * 3600, initial_state=MarketState({"AAPL": 1000.0}, newest_time=newest)
    )
    ticks = await collector.wait_for_ticks(clock, 107, 0.2)
    assert ticks[0][1] == first
    assert {tick[0]: tick[2] for tick in ticks}[b"AAPL"] == pytest.approx(1000.0, rel=0.02)


async def test_a_past_does_not_restart_a_running_scenario() -> None:
    """The outage of ten minutes has no ticks."""
    clock = ManualClock()
    scenario = parse_scenario('name = "long"\n[[event]]\nat = "0s"\ndo = "burst"\ntimes = 2\nlasts = "2h"')
    run = ScenarioRun(scenario, NOON - HOUR, is_manual=True)
    state = MarketState(newest_time=NOON - HOUR // 6)
    collector = BatchCollector(
        clock, seed=7, start=NOON, history_s=3600, initial_state=state, scenario_run=run, scenario=scenario
    )
    ticks = await collector.wait_for_ticks(clock, 107, 0.2)
    assert min(tick[1] for tick in ticks) >= NOON
    assert collector.feed.scenario_run == run


async def test_a_stop_and_a_start_end_the_past() -> None:
    clock = ManualClock()
    collector = BatchCollector(clock, seed=7, start=NOON, history_s=31 * 24 * 3600)
    await clock.advance(0)
    collector.feed.playback_clock.stop()
    collector.feed.playback_clock.start()
    while not collector.parts or collector.parts[-1]["ts"][0] < NOON:
        await clock.advance(0.2)
    collector.task.cancel()
    assert sum(map(len, collector.parts)) < 100_000


async def test_model_is_replaced_between_two_blocks() -> None:
    """Prices continue without a jump."""
    clock = ManualClock()
    collector = BatchCollector(clock, seed=1)
    await clock.advance(3)
    calm = [msgspec.structs.replace(each, volatility=0.001, jumps=None) for each in built_in_model().symbols]
    collector.feed.replace_model(msgspec.structs.replace(built_in_model(), symbols=tuple(calm)))
    await clock.advance(3)
    collector.task.cancel()
    ticks = np.concatenate(collector.parts)
    for symbol in (b"AAPL", b"BTC-USD"):
        prices = ticks["last"][ticks["symbol"] == symbol]
        assert np.abs(np.diff(np.log(prices))).max() < 0.002


def test_unmatched_symbols_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    text = 'name = "x"\n[[event]]\nat = "1s"\ndo = "halt"\nsymbols = ["APPL", "BTC-*", "ZZ*"]'
    SimulatorFeed(built_in_model(), ManualClock(), scenario=parse_scenario(text))
    assert caplog.messages == ["the scenario x names symbols that the market does not have: APPL, ZZ*"]
