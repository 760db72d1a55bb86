"""What readers use is kept for them by every process, and let go of where nobody comes back for it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from tickwire.clock import Clock
from tickwire.errors import JournalError
from tickwire.hub.control import Control, control_entry
from tickwire.hub.controller import Controller
from tickwire.journal.base import Journal
from tickwire.journal.entrance import Entrance

HOLD_SECONDS = 20.0  # a third of what an unused subscription is kept for
_LATE_SECONDS = 2 * HOLD_SECONDS + 1.0  # who was silent for so long may have been forgotten


class Holding:
    """Says to other processes what readers use here: readers go from one to another. `shared` is whether there are any.

    Who saves states, and so lets history go (`leads`), says also which changes went with it.
    """

    def __init__(
        self,
        control: Controller,
        journal: Journal,
        entrance: Entrance,
        clock: Clock,
        *,
        shared: bool,
        leads: Callable[[], bool],
    ) -> None:
        self._control = control
        self._journal = journal
        self._entrance = entrance
        self._clock = clock
        self._shared = shared
        self._leads = leads
        self._forget_from = 0.0  # monotonic seconds
        self._said = clock.monotonic()  # when others were last told

    def forget(self, wall: float) -> None:
        """Let go of what nobody uses; not where others cannot say that they do, or had no time to since then.

        `wall` is the time of day, in seconds.
        """
        now = self._clock.monotonic()
        if self._journal.fault() is not None:
            self._forget_from = now + 2 * HOLD_SECONDS
        if now >= self._forget_from:
            self._control.ledger.forget(now, wall)

    async def run(self) -> None:
        """Say it, again and again."""
        while True:
            await self._clock.sleep(HOLD_SECONDS)
            with contextlib.suppress(JournalError):  # noted at the entrance; nothing is let go meanwhile
                await self._say(self._clock.monotonic())

    async def _say(self, now: float) -> None:
        said: list[Control] = [*self._control.holds()] if self._shared else []
        if said and now - self._said >= _LATE_SECONDS:
            said += self._control.keeps()
        if self._leads() and now >= self._forget_from:
            said += self._control.over(now, self._journal.first)
        for control in said:
            await self._entrance.append(control_entry(control))
        self._said = now
