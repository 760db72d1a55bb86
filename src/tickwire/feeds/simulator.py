"""A feed that makes its prices up: a simulated market."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

import numpy as np

from tickwire.clock import Clock
from tickwire.core.tick import empty
from tickwire.feeds.base import Batch
from tickwire.feeds.pace import Pace
from tickwire.market.hours import Hours
from tickwire.market.model import Model
from tickwire.market.scenario import Scenario, Script
from tickwire.market.walk import Block, Walk


class Simulator:
    """Ticks of a model's symbols, each on average `rate` times a second of market time.

    Everybody has a tick in the first batch, so that nobody waits for a first price. The same model, `seed` and start
    give the same ticks at every speed, with or without pauses. `prices` and `newest` (a time in nanoseconds) let a
    simulation go on from where it was; another model takes over between two blocks of ticks.
    """

    name = "simulator"
    mode = "simulated"

    def __init__(
        self,
        model: Model,
        clock: Clock,
        *,
        seed: int | None = None,
        rate: float = 3.0,
        speed: float = 1.0,
        prices: Mapping[str, float] | None = None,
        newest: int = 0,
        scenario: Scenario | None = None,
    ) -> None:
        self.pace = Pace(clock, speed)
        self.model = model
        self._seed = seed
        self._scenario = scenario
        start = max(_starting(model, clock.now()), newest + 1)
        self._walk = Walk(model, np.random.default_rng(seed), start, rate=rate, prices=prices)
        self._script: Script | None = None

    async def batches(self, after: str | None = None) -> AsyncIterator[Batch]:
        """Ticks for ever; a simulation has no place to go back to, so `after` changes nothing."""
        while True:
            self.pace.begin()
            self._script = self._scripted()
            while not self.pace.over:
                async for batch in self._play(*self._next()):
                    yield batch
            self._walk = self._walk.anew(np.random.default_rng(self._seed))

    def swap(self, model: Model) -> None:
        """Use another model from the next block on; prices go on from where they are."""
        self.model = model

    def _next(self) -> tuple[Block, list[str]]:
        """The next block, and the symbols that stop trading before it."""
        if self._walk.model is not self.model:
            self._walk = self._walk.adopt(self.model)
        if self._script is None:
            return self._walk.block(), []
        stopped = self._script.drive(self._walk, self._walk.ahead)
        block = self._walk.block()
        return block._replace(ticks=self._script.alter(block.ticks)), stopped

    async def _play(self, block: Block, stopped: list[str]) -> AsyncIterator[Batch]:
        before = dict.fromkeys(block.resumed, True) | dict.fromkeys(stopped, False)
        if before:
            yield Batch(empty(0), trading=before)
        async for part in self.pace.parts(block.ticks):
            yield Batch(part)
        await self.pace.idle(block.end)
        if block.halted:
            yield Batch(empty(0), trading=dict.fromkeys(block.halted, False))

    def _scripted(self) -> Script | None:
        if self._scenario is None:
            return None
        chance = np.random.default_rng(None if self._seed is None else [self._seed, 1])
        return Script(self._scenario, self._walk.now, chance)


def _starting(model: Model, now: int) -> int:
    """Now, if the market is open; else the newest opening."""
    session = Hours(model.session).latest(now)
    return now if now < session.close else session.open
