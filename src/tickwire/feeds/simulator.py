"""A feed that simulates a market."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from tickwire.clock import Clock
from tickwire.core.instrument import Instrument
from tickwire.core.tick import PackedTicks, blank_ticks
from tickwire.errors import InputError
from tickwire.feeds.base import ConnectionState, FeedBatch, FeedConnection, FeedMode
from tickwire.feeds.feed_kind import FeedKind, FeedOptions, MarketState, ScenarioRun
from tickwire.feeds.playback_clock import PlaybackClock
from tickwire.simulation.model import MarketModel
from tickwire.simulation.price_process import PriceProcess
from tickwire.simulation.scenario import Scenario, ScenarioRunner, block_end_after, parse_scenario, unmatched_symbols
from tickwire.simulation.session_schedule import SessionSchedule
from tickwire.simulation.universe import built_in_model

log = logging.getLogger(__name__)

# The simulation generates ticks in blocks (short parts of market time). A batch should cover at least 50 ms of real
# time, so the number of blocks in a batch grows with the speed. The number is limited, because a new model or speed
# does not affect the blocks that were already generated.
_BLOCKS_PER_SPEED_UNIT = 0.25
_MAX_BLOCKS_AHEAD = 25
# A simulated past has three trades of each symbol per minute, so that almost every candle of one minute has trades.
_PAST_STEP_NS = 20 * 10**9
_PAST_TRADES_PER_SECOND = 1e9 / _PAST_STEP_NS
_PAST_STEPS_PER_BLOCK = 15
# A simulation generates no past if the past would be shorter than one block of market time.
_MIN_PAST_NS = _PAST_STEPS_PER_BLOCK * _PAST_STEP_NS


class _MarketSegment(NamedTuple):
    """A section of a simulation. `end` is the market time at which the section ends.

    A trading change maps a symbol to True if the symbol starts trading, and to False if the symbol stops trading.
    `changes_before` take effect before the ticks of the section. `changes_after` take effect after these ticks.
    """

    ticks: PackedTicks
    end: int
    changes_before: Mapping[str, bool]
    changes_after: Mapping[str, bool]


class SimulatorFeed:
    """A feed that simulates the symbols of a model. A symbol has on average `rate` ticks per second of market time.

    The first batch contains a tick of every symbol, so that every reader immediately receives a price of every symbol.
    The same model, `seed` and `start` produce the same ticks at every speed, with or without pauses.

    Market time begins at `start` (nanoseconds since the Unix epoch). If the market is closed at that time, market time
    begins at the next opening. Without `start`, market time begins now if the market is open. Otherwise, it
    begins at the time when the market last opened.

    The simulation continues the market from `initial_state`. If `scenario_run` is set, the simulation continues this
    running scenario and ignores `scenario`. The simulator generates ticks in blocks (short parts of market time). A new
    model takes effect at the start of a block.

    With `history_s`, the simulator first generates the ticks of the last `history_s` seconds before the beginning, as
    fast as possible, and with fewer ticks per second. The generated past begins after the newest tick of
    `initial_state`. A simulation that continues a running scenario generates no such past, because the past would lack
    the scenario.
    """

    name = "simulator"
    mode: FeedMode = "simulated"
    connection = FeedConnection(ConnectionState.CONNECTED)

    def __init__(
        self,
        model: MarketModel,
        clock: Clock,
        *,
        seed: int | None = None,
        start: int | None = None,
        rate: float = 3.0,
        speed: float = 1.0,
        scenario: Scenario | None = None,
        history_s: float = 0.0,
        initial_state: MarketState = MarketState(),  # noqa: B008  # a constant
        scenario_run: ScenarioRun | None = None,
    ) -> None:
        self.playback_clock = PlaybackClock(clock, speed)
        self.model = model
        self.scenario = scenario if scenario_run is None else scenario_run.scenario
        self.scenario_is_manual = scenario_run is not None and scenario_run.is_manual
        self._seed = seed
        self._clock = clock
        self._fixed_start = start
        begin = self._start_time()
        past_begin = max(begin - round(history_s * 1e9), initial_state.newest_time + 1)
        has_past = scenario_run is None and begin - past_begin >= _MIN_PAST_NS
        self._past = _past_process(model, seed, past_begin, initial_state.prices) if has_past else None
        begin = max(begin, initial_state.newest_time + 1)
        if scenario_run is not None:
            begin = scenario_run.started_at + block_end_after(begin - scenario_run.started_at - 1)
        self._rate = rate
        self._price_process = self._begin_market(begin, initial_state.prices)
        self._scenario_runner = (
            self._start_scenario()
            if scenario_run is None
            else self._resume_scenario(scenario_run, initial_state.price_times)
        )
        self._announced_halts = {*initial_state.halted_symbols}
        self._is_first_block = True
        if scenario is not None and (unknown := unmatched_symbols(scenario, self._price_process.symbols)):
            log.warning(
                "the scenario %s names symbols that the market does not have: %s", scenario.name, ", ".join(unknown)
            )

    async def batches(self, after: str | None = None) -> AsyncIterator[FeedBatch]:
        """Return ticks forever. A simulation cannot resume, so `after` has no effect."""
        del after
        if self._past is not None:
            async for batch in self._play_past(self._past):
                yield batch
        while True:
            self.playback_clock.begin_pass()
            while not self.playback_clock.is_pass_over:
                for segment in self._generate_segments():
                    async for batch in self._play_segment(segment):
                        yield batch
            self._price_process = self._price_process.with_rng(np.random.default_rng(self._seed))
            self._is_first_block = True
            self._scenario_runner = self._start_scenario()

    async def _play_past(self, past: PriceProcess) -> AsyncIterator[FeedBatch]:
        """Yield the ticks of the simulated past. The market then continues from the prices at the end of this past."""
        self._past = None
        started_at = self._clock.monotonic()
        begin, tick_count = past.now, 0
        # Without a fixed start, the past ends at the present time, which advances while the past is generated.
        while past.now < (end := self._start_time()):
            ticks = past.simulate_block().ticks
            ticks = ticks[ticks["ts"] < end]
            # The simulated past has fewer trades per minute than the present. Make the trades larger, so that the
            # volume per minute is the same.
            ticks["size"] *= self._rate / _PAST_TRADES_PER_SECOND
            tick_count += len(ticks)
            self.playback_clock.begin_pass(end)
            async for released in self.playback_clock.release_when_due(ticks):
                yield FeedBatch(released)
            if self.playback_clock.is_pass_over:
                # A stop command has ended the simulation of the past. The next start command begins at the present
                # time.
                break
        log.info(
            "simulated the past from %s: %d ticks in %.1f s",
            np.datetime64(begin, "ns").astype("datetime64[s]"), tick_count, self._clock.monotonic() - started_at,
        )  # fmt: skip
        self._price_process = self._begin_market(end, past.prices())
        self._scenario_runner = self._start_scenario()

    def _start_time(self) -> int:
        """Return the market time at which a new simulation begins."""
        if self._fixed_start is not None:
            return self._fixed_start
        return _newest_trading_time(self.model, self._clock.now())

    def _begin_market(self, begin: int, prices: Mapping[str, float]) -> PriceProcess:
        rng = np.random.default_rng(self._seed)
        return PriceProcess(self.model, rng, begin, trades_per_second=self._rate, start_prices=prices)

    def replace_model(self, model: MarketModel) -> None:
        """Apply another model from the next block of ticks on. Prices continue from their current values."""
        self.model = model

    def play_scenario(self, scenario: Scenario | None) -> None:
        """Play another scenario from its beginning, starting with the next block of ticks.

        If `scenario` is None, only end the current scenario. In both cases, the effects of the previous scenario end.
        """
        if self._scenario_runner is not None:
            self._scenario_runner.clear_effects(self._price_process)
        self.scenario, self.scenario_is_manual = scenario, True
        self._scenario_runner = self._start_scenario()

    @property
    def scenario_run(self) -> ScenarioRun | None:
        """The running scenario, or None if no scenario is running."""
        if self.scenario is None or self._scenario_runner is None:
            return None
        return ScenarioRun(self.scenario, self._scenario_runner.start, self.scenario_is_manual)

    def _generate_segments(self) -> list[_MarketSegment]:
        """Simulate one block (a short part of market time), or several blocks if the speed is high.

        Join consecutive blocks into one segment, unless a symbol starts or stops trading between them.
        """
        speed = self.playback_clock.speed
        block_count = speed * _BLOCKS_PER_SPEED_UNIT if speed else _MAX_BLOCKS_AHEAD
        groups = [[self._generate_block()]]
        for _ in range(1, min(int(block_count), _MAX_BLOCKS_AHEAD)):
            segment = self._generate_block()
            if segment.changes_before or groups[-1][-1].changes_after:
                groups.append([])
            groups[-1].append(segment)
        return [_join_segments(group) for group in groups]

    def _generate_block(self) -> _MarketSegment:
        if self._price_process.model is not self.model:
            self._price_process = self._price_process.with_model(self.model)
        runner = self._scenario_runner
        halted = runner.apply_to_market(self._price_process, self._price_process.next_block_end) if runner else []
        initial_changes = self._initial_trading_changes() if self._is_first_block else None
        self._is_first_block = False
        block = self._price_process.simulate_block()
        ticks = runner.transform_ticks(block.ticks) if runner else block.ticks
        changes = dict.fromkeys(block.resumed_symbols, True) | dict.fromkeys(halted, False)
        if initial_changes is not None:
            changes = initial_changes
        return _MarketSegment(ticks, block.end_ts, changes, dict.fromkeys(block.halted_symbols, False))

    async def _play_segment(self, segment: _MarketSegment) -> AsyncIterator[FeedBatch]:
        if segment.changes_before:
            yield self._announce_trading_changes(segment.changes_before)
        async for ticks in self.playback_clock.release_when_due(segment.ticks):
            yield FeedBatch(ticks)
        await self.playback_clock.wait_until(segment.end)
        if segment.changes_after:
            yield self._announce_trading_changes(segment.changes_after)

    def _announce_trading_changes(self, changes: Mapping[str, bool]) -> FeedBatch:
        for symbol, trades in changes.items():
            self._announced_halts.discard(symbol) if trades else self._announced_halts.add(symbol)
        return FeedBatch(blank_ticks(0), trading_changes=changes)

    def _initial_trading_changes(self) -> dict[str, bool]:
        """Return the trading changes to report at the start of a new market. A trading change maps a symbol to True (it
        trades again) or False (it is halted).

        If a symbol was reported as halted, but is not halted in the new market, the result contains True for the
        symbol. If a symbol is halted in the new market, but was not reported as halted, the result contains False for
        it.
        """
        halted = {*self._price_process.halted_symbols()}
        return dict.fromkeys(sorted(self._announced_halts - halted), True) | dict.fromkeys(
            sorted(halted - self._announced_halts), False
        )

    def _start_scenario(self) -> ScenarioRunner | None:
        if self.scenario is None:
            return None
        return ScenarioRunner(self.scenario, self._price_process.now, self._scenario_rng())

    def _resume_scenario(self, run: ScenarioRun, price_times: Mapping[str, int]) -> ScenarioRunner:
        """Continue a scenario at the point that it would have reached without the interruption of the simulation."""
        runner = ScenarioRunner(run.scenario, run.started_at, self._scenario_rng(), now=self._price_process.now)
        runner.reapply_to_market(self._price_process, price_times)
        return runner

    def _scenario_rng(self) -> np.random.Generator:
        return np.random.default_rng(None if self._seed is None else [self._seed, 1])


def _open_simulator(argument: str, options: FeedOptions, clock: Clock, initial_state: MarketState) -> SimulatorFeed:
    del argument
    scenario = None if options.scenario_path is None else _read_scenario_file(options.scenario_path)
    return SimulatorFeed(
        options.model or built_in_model(),
        clock,
        seed=options.seed,
        start=options.start,
        rate=options.rate,
        speed=options.speed,
        scenario=scenario,
        history_s=options.history_s,
        initial_state=initial_state,
        scenario_run=_resumable_scenario_run(options.scenario_run, scenario, initial_state.newest_time),
    )


def _model_instruments(_argument: str, options: FeedOptions) -> tuple[Instrument, ...]:
    return (options.model or built_in_model()).instruments()


FEED_KIND = FeedKind("simulator", "simulated", _open_simulator, instruments=_model_instruments)


def _resumable_scenario_run(
    run: ScenarioRun | None, configured_scenario: Scenario | None, newest_time: int
) -> ScenarioRun | None:
    """Return `run` if the new simulation should continue this running scenario. Otherwise return None.

    A new simulation never continues a scenario that is over. It continues any other scenario if a client started the
    scenario, or if the settings still name the scenario.
    """
    if run is None or not (run.is_manual or run.scenario == configured_scenario):
        return None
    return run if newest_time - run.started_at < run.scenario.end_s * 1e9 else None


def _read_scenario_file(path: Path) -> Scenario:
    try:
        return parse_scenario(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"the scenario {path} cannot be read: {error}", field="scenario") from None


def _join_segments(segments: list[_MarketSegment]) -> _MarketSegment:
    ticks = np.concatenate([segment.ticks for segment in segments]) if len(segments) > 1 else segments[0].ticks
    return _MarketSegment(ticks, segments[-1].end, segments[0].changes_before, segments[-1].changes_after)


def _past_process(model: MarketModel, seed: int | None, begin: int, prices: Mapping[str, float]) -> PriceProcess:
    """Return the price process that generates a simulated past.

    The process has no halt rule. The rule compares prices within a few seconds, and a simulated past has too few ticks
    for such comparisons.
    """
    return PriceProcess(
        msgspec.structs.replace(model, halts=None),
        np.random.default_rng(None if seed is None else [seed, 2]),
        begin,
        trades_per_second=_PAST_TRADES_PER_SECOND,
        start_prices=prices,
        step_ns=_PAST_STEP_NS,
        steps_per_block=_PAST_STEPS_PER_BLOCK,
    )


def _newest_trading_time(model: MarketModel, now: int) -> int:
    """Return `now` if the market is open. Otherwise return the time at which the market last opened."""
    session = SessionSchedule(model.session).session_at_or_before(now)
    return now if now < session.close else session.open
