"""A feed that makes its prices up: a simulated market."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Collection, Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from tickwire.clock import Clock
from tickwire.core.tick import Ticks, empty
from tickwire.feeds.base import Batch
from tickwire.feeds.pace import Pace
from tickwire.market.hours import Hours
from tickwire.market.model import Model
from tickwire.market.scenario import Scenario, Script, block_after, strangers
from tickwire.market.walk import Walk

log = logging.getLogger(__name__)

# Blocks made at once for each unit of speed, so that a batch is not of less than a twentieth of a second, and at most:
# what is made already is played under the model of before, also after the market was slowed down.
_AT_ONCE = 0.25
_MOST_BLOCKS = 25


class Before(NamedTuple):
    """Where a simulation stood that another goes on from: prices and the times at which they were seen, the newest of
    those (nanoseconds), and which symbols did not trade, as readers know it.
    """

    prices: Mapping[str, float] = MappingProxyType({})
    times: Mapping[str, int] = MappingProxyType({})
    newest: int = 0
    halted: Collection[str] = ()


class Played(NamedTuple):
    """A scenario, since when it is played (nanoseconds of market time), and whether it was put while the market ran."""

    scenario: Scenario
    began: int
    by_hand: bool


class _Scene(NamedTuple):
    """Ticks until `end`, and the symbols that trade (True) or do not (False) from before them or from after them on."""

    ticks: Ticks
    end: int
    before: Mapping[str, bool]
    after: Mapping[str, bool]


class Simulator:
    """Ticks of a model's symbols, each on average `rate` times a second of market time.

    Everybody has a tick in the first batch, so that nobody waits for a first price. The same model, `seed` and start
    give the same ticks at every speed, with or without pauses. Market time begins at `start` (nanoseconds; with the
    next opening, where that is closed), or now. `before` lets a simulation go on from where it was, and `played` plays
    on the scenario of then instead of `scenario`; another model takes over between two blocks of ticks.
    """

    name = "simulator"
    mode = "simulated"

    def __init__(
        self,
        model: Model,
        clock: Clock,
        *,
        seed: int | None = None,
        start: int | None = None,
        rate: float = 3.0,
        speed: float = 1.0,
        scenario: Scenario | None = None,
        before: Before = Before(),  # noqa: B008  # a constant
        played: Played | None = None,
    ) -> None:
        self.pace = Pace(clock, speed)
        self.model = model
        self.scenario = scenario if played is None else played.scenario
        self.by_hand = played is not None and played.by_hand  # whether it was put while the market ran
        self._seed = seed
        begin = _starting(model, clock.now()) if start is None else start
        begin = max(begin, before.newest + 1)
        if played is not None:
            begin = played.began + block_after(begin - played.began - 1)
        self._walk = Walk(model, np.random.default_rng(seed), begin, rate=rate, prices=before.prices)
        self._script = self._scripted() if played is None else self._resumed(played, before.times)
        self._halted = {*before.halted}  # as was told
        self._anew = True  # whether the next block is the first of a market
        if scenario is not None and (unknown := strangers(scenario, self._walk.symbols)):
            log.warning("the scenario %s names what is no symbol of this market: %s", scenario.name, ", ".join(unknown))

    async def batches(self, after: str | None = None) -> AsyncIterator[Batch]:
        """Ticks for ever; a simulation has no place to go back to, so `after` changes nothing."""
        while True:
            self.pace.begin()
            while not self.pace.over:
                for scene in self._ahead():
                    async for batch in self._play(scene):
                        yield batch
            self._walk, self._anew = self._walk.anew(np.random.default_rng(self._seed)), True
            self._script = self._scripted()

    def swap(self, model: Model) -> None:
        """Use another model from the next block on; prices go on from where they are."""
        self.model = model

    def stage(self, scenario: Scenario | None) -> None:
        """Play another scenario from the next block on, from its beginning; None plays none. What the one before still
        holds is let go.
        """
        if self._script is not None:
            self._script.end(self._walk)
        self.scenario, self.by_hand = scenario, True
        self._script = self._scripted()

    @property
    def played(self) -> Played | None:
        """The scenario that is played; None for none."""
        if self.scenario is None or self._script is None:
            return None
        return Played(self.scenario, self._script.start, self.by_hand)

    def _ahead(self) -> list[_Scene]:
        """What is to be played next: a block, or at high speeds so many that batches do not become tiny."""
        pace = self.pace
        wanted = pace.speed * _AT_ONCE if pace.speed else _MOST_BLOCKS
        groups = [[self._next()]]
        for _ in range(1, min(int(wanted), _MOST_BLOCKS)):
            scene = self._next()
            if scene.before or groups[-1][-1].after:
                groups.append([])
            groups[-1].append(scene)
        return [_joined(group) for group in groups]

    def _next(self) -> _Scene:
        """The next block, as it will be seen."""
        if self._walk.model is not self.model:
            self._walk = self._walk.adopt(self.model)
        stopped = self._script.drive(self._walk, self._walk.ahead) if self._script else []
        turned, self._anew = self._turned() if self._anew else None, False
        block = self._walk.block()
        ticks = self._script.alter(block.ticks) if self._script else block.ticks
        before = dict.fromkeys(block.resumed, True) | dict.fromkeys(stopped, False) if turned is None else turned
        return _Scene(ticks, block.end, before, dict.fromkeys(block.halted, False))

    async def _play(self, scene: _Scene) -> AsyncIterator[Batch]:
        if scene.before:
            yield self._tell(scene.before)
        async for part in self.pace.parts(scene.ticks):
            yield Batch(part)
        await self.pace.idle(scene.end)
        if scene.after:
            yield self._tell(scene.after)

    def _tell(self, trading: Mapping[str, bool]) -> Batch:
        for symbol, trades in trading.items():
            self._halted.discard(symbol) if trades else self._halted.add(symbol)
        return Batch(empty(0), trading=trading)

    def _turned(self) -> dict[str, bool]:
        """Who trades in a market that has just begun and did not in the one before it, and the reverse."""
        held = {*self._walk.held()}
        return dict.fromkeys(sorted(self._halted - held), True) | dict.fromkeys(sorted(held - self._halted), False)

    def _scripted(self) -> Script | None:
        if self.scenario is None:
            return None
        return Script(self.scenario, self._walk.now, self._chance())

    def _resumed(self, played: Played, seen: Mapping[str, int]) -> Script:
        """What was played before, at the place where it would be by now."""
        script = Script(played.scenario, played.began, self._chance(), now=self._walk.now)
        script.resume(self._walk, seen)
        return script

    def _chance(self) -> np.random.Generator:
        return np.random.default_rng(None if self._seed is None else [self._seed, 1])


def _joined(scenes: list[_Scene]) -> _Scene:
    """One scene of several, with nothing but ticks between them."""
    ticks = np.concatenate([scene.ticks for scene in scenes]) if len(scenes) > 1 else scenes[0].ticks
    return _Scene(ticks, scenes[-1].end, scenes[0].before, scenes[-1].after)


def _starting(model: Model, now: int) -> int:
    """Now, if the market is open; else the newest opening."""
    session = Hours(model.session).latest(now)
    return now if now < session.close else session.open
