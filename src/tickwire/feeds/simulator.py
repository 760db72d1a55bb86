"""A feed that makes its prices up: a simulated market."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping
from typing import NamedTuple

import numpy as np

from tickwire.clock import Clock
from tickwire.core.tick import Ticks, empty
from tickwire.feeds.base import Batch
from tickwire.feeds.pace import Pace
from tickwire.market.hours import Hours
from tickwire.market.model import Model
from tickwire.market.scenario import Scenario, Script, strangers
from tickwire.market.walk import Walk

log = logging.getLogger(__name__)

# Blocks made at once for each unit of speed, so that a batch is not of less than a twentieth of a second, and at most:
# what is made already is played under the model of before, also after the market was slowed down.
_AT_ONCE = 0.25
_MOST_BLOCKS = 25


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
    next opening, where that is closed), or now. `prices` and `newest` (a time in nanoseconds) let a simulation go on
    from where it was; another model takes over between two blocks of ticks.
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
        prices: Mapping[str, float] | None = None,
        newest: int = 0,
        scenario: Scenario | None = None,
    ) -> None:
        self.pace = Pace(clock, speed)
        self.model = model
        self.scenario = scenario
        self._seed = seed
        begin = _starting(model, clock.now()) if start is None else start
        self._walk = Walk(model, np.random.default_rng(seed), max(begin, newest + 1), rate=rate, prices=prices)
        self._script: Script | None = None
        if scenario is not None and (unknown := strangers(scenario, self._walk.symbols)):
            log.warning("the scenario %s names what is no symbol of this market: %s", scenario.name, ", ".join(unknown))

    async def batches(self, after: str | None = None) -> AsyncIterator[Batch]:
        """Ticks for ever; a simulation has no place to go back to, so `after` changes nothing."""
        while True:
            self.pace.begin()
            self._script = self._scripted()
            while not self.pace.over:
                for scene in self._ahead():
                    async for batch in self._play(scene):
                        yield batch
            self._walk = self._walk.anew(np.random.default_rng(self._seed))

    def swap(self, model: Model) -> None:
        """Use another model from the next block on; prices go on from where they are."""
        self.model = model

    def stage(self, scenario: Scenario | None) -> None:
        """Play another scenario from the next block on, from its beginning; None plays none. What the one before still
        holds is let go.
        """
        if self._script is not None:
            self._script.end(self._walk)
        self.scenario = scenario
        self._script = self._scripted()

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
        block = self._walk.block()
        ticks = self._script.alter(block.ticks) if self._script else block.ticks
        before = dict.fromkeys(block.resumed, True) | dict.fromkeys(stopped, False)
        return _Scene(ticks, block.end, before, dict.fromkeys(block.halted, False))

    async def _play(self, scene: _Scene) -> AsyncIterator[Batch]:
        if scene.before:
            yield Batch(empty(0), trading=scene.before)
        async for part in self.pace.parts(scene.ticks):
            yield Batch(part)
        await self.pace.idle(scene.end)
        if scene.after:
            yield Batch(empty(0), trading=scene.after)

    def _scripted(self) -> Script | None:
        if self.scenario is None:
            return None
        chance = np.random.default_rng(None if self._seed is None else [self._seed, 1])
        return Script(self.scenario, self._walk.now, chance)


def _joined(scenes: list[_Scene]) -> _Scene:
    """One scene of several, with nothing but ticks between them."""
    ticks = np.concatenate([scene.ticks for scene in scenes]) if len(scenes) > 1 else scenes[0].ticks
    return _Scene(ticks, scenes[-1].end, scenes[0].before, scenes[-1].after)


def _starting(model: Model, now: int) -> int:
    """Now, if the market is open; else the newest opening."""
    session = Hours(model.session).latest(now)
    return now if now < session.close else session.open
