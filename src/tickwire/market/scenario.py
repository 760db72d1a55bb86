"""A script for a simulated session: what happens when. Small TOML files, for tests, demonstrations and load runs.

docs/simulator.md explains every key. Times count market time from the start of the simulation.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from tickwire.core.tick import Ticks
from tickwire.errors import InputError
from tickwire.market.complaint import complaint
from tickwire.market.halts import NEVER, Mask
from tickwire.market.timeline import BLOCK_NS
from tickwire.market.walk import Walk

_UNITS = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
Duration = Annotated[
    str, Meta(pattern=rf"^{_DURATION.pattern}$", description="a length of time with its unit: 200ms, 1.5s, 2m or 1h")
]
Share = Annotated[float, Meta(gt=0, le=1)]
_FOR_EVER = float("inf")
Seconds = NDArray[np.float64]


class _Event(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="do", tag=str.lower):
    """Something that happens from `at` on to the symbols that match (all, if none is named)."""

    at: Duration
    symbols: Annotated[tuple[str, ...], Meta(min_length=1)] = ("*",)

    def drive(self, walk: Walk, which: Mask, since: float, until: float) -> list[str]:
        """Push the market before it goes from `since` to `until` (seconds); answers symbols that stop trading."""
        del walk, which, since, until
        return []

    def alter(self, ticks: Ticks, which: Mask, rng: np.random.Generator) -> Ticks:
        """Change what came of it; `which` are the ticks of its symbols while it lasts."""
        del which, rng
        return ticks

    def resume(self, walk: Walk, which: Mask, now: float, seen: Seconds) -> None:
        """Do again to a market that begins anew what it had done to the one before, `now` seconds into the scenario.

        Each symbol's price is as it was `seen` seconds into it.
        """

    @property
    def end(self) -> float:
        """When it is over."""
        lasts: str | None = getattr(self, "lasts", None)
        return _FOR_EVER if lasts is None else seconds(self.at) + seconds(lasts)

    def begins(self, since: float, until: float) -> bool:
        """Whether it begins in this time."""
        return since <= seconds(self.at) < until


class Crash(_Event, frozen=True):
    """Prices fall by the share `fall` in the time `over`, and come back in the time `recover`, if that is given."""

    fall: Annotated[float, Meta(gt=0, lt=1)]
    over: Duration = "10s"
    recover: Duration | None = None

    def drive(self, walk: Walk, which: Mask, since: float, until: float) -> list[str]:
        """Move by what falls into this time."""
        by = float(np.log1p(-self.fall) * (self._depth(until) - self._depth(since)))
        if by:
            walk.move(which, by)
        return []

    def resume(self, walk: Walk, which: Mask, now: float, seen: Seconds) -> None:
        """Move what was not seen of it: of quiet symbols, and of those that do not trade."""
        by = np.log1p(-self.fall) * (self._depth(now) - self._depth(seen))
        walk.move(which & (by != 0), by)

    @property
    def end(self) -> float:
        """When prices have come back, if they do."""
        return seconds(self.at) + seconds(self.over) + (0.0 if self.recover is None else seconds(self.recover))

    def _depth(self, now: float | Seconds) -> Seconds:
        """How much of the fall is in the price: 0 before it and after the recovery, 1 at the bottom."""
        since = np.asarray(now) - seconds(self.at)
        down = np.clip(since / seconds(self.over), 0, 1)
        return (
            down if self.recover is None else down - np.clip((since - seconds(self.over)) / seconds(self.recover), 0, 1)
        )


class Halt(_Event, frozen=True):
    """Trading stops, for the time `lasts` or until a resume."""

    lasts: Duration | None = None

    def drive(self, walk: Walk, which: Mask, since: float, until: float) -> list[str]:
        """Stop it once."""
        if not self.begins(since, until):
            return []
        return walk.suspend(which, NEVER if self.lasts is None else walk.now + round(seconds(self.lasts) * 1e9))

    def resume(self, walk: Walk, which: Mask, now: float, seen: Seconds) -> None:
        """Stop it for the rest of its time."""
        del seen
        if seconds(self.at) < now < self.end:
            walk.suspend(which, NEVER if self.lasts is None else walk.now + round((self.end - now) * 1e9))


class Resume(_Event, frozen=True):
    """Trading goes on."""

    def drive(self, walk: Walk, which: Mask, since: float, until: float) -> list[str]:
        """Release it once."""
        if self.begins(since, until):
            walk.release(which)
        return []

    def resume(self, walk: Walk, which: Mask, now: float, seen: Seconds) -> None:
        """What was stopped before it is not."""
        del seen
        if seconds(self.at) < now:
            walk.release(which)

    @property
    def end(self) -> float:
        """At once."""
        return seconds(self.at)


class Burst(_Event, frozen=True):
    """Symbols trade `times` as often."""

    times: Annotated[float, Meta(gt=0, le=1_000)]
    lasts: Duration

    def drive(self, walk: Walk, which: Mask, since: float, until: float) -> list[str]:
        """Begin and end."""
        if self.begins(since, until):
            walk.hurry(which, self.times)
        if since <= self.end < until:
            walk.hurry(which, 1.0)
        return []

    def resume(self, walk: Walk, which: Mask, now: float, seen: Seconds) -> None:
        """Begin, if it is on."""
        del seen
        if seconds(self.at) < now <= self.end:
            walk.hurry(which, self.times)


class Split(_Event, frozen=True):
    """Each share becomes `ratio` shares (0.1 joins ten to one)."""

    ratio: Annotated[float, Meta(gt=0, le=1_000)]

    def drive(self, walk: Walk, which: Mask, since: float, until: float) -> list[str]:
        """Split once."""
        if self.begins(since, until):
            walk.split(which, self.ratio)
        return []

    def resume(self, walk: Walk, which: Mask, now: float, seen: Seconds) -> None:
        """Split what was not seen to be."""
        if seconds(self.at) < now:
            walk.split(which & (seen <= seconds(self.at)), self.ratio)

    @property
    def end(self) -> float:
        """At once."""
        return seconds(self.at)


class Mute(_Event, frozen=True):
    """No ticks come of the symbols, though they trade: a broken line."""

    lasts: Duration | None = None

    def alter(self, ticks: Ticks, which: Mask, rng: np.random.Generator) -> Ticks:
        """Only the others."""
        return ticks[~which]


class Duplicate(_Event, frozen=True):
    """Ticks come twice, each with the chance `share`."""

    share: Share
    lasts: Duration | None = None

    def alter(self, ticks: Ticks, which: Mask, rng: np.random.Generator) -> Ticks:
        """Some twice."""
        return np.repeat(ticks, 1 + (which & (rng.random(len(ticks)) < self.share)))


class Shuffle(_Event, frozen=True):
    """Ticks come late, each with the chance `share`: behind younger ones of the same fifth of a second."""

    share: Share
    lasts: Duration | None = None

    def alter(self, ticks: Ticks, which: Mask, rng: np.random.Generator) -> Ticks:
        """Some further back."""
        late = which & (rng.random(len(ticks)) < self.share)
        return ticks[np.argsort(np.arange(len(ticks)) + late * rng.uniform(0, len(ticks), len(ticks)), kind="stable")]


class Stuck(Mute, frozen=True):
    """The whole feed falls silent."""


Event = Crash | Halt | Resume | Burst | Split | Mute | Duplicate | Shuffle | Stuck


class Scenario(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A script: a name, what it is about, and its events."""

    name: str
    event: Annotated[tuple[Event, ...], Meta(min_length=1)]
    about: str = ""

    @property
    def end(self) -> float:
        """How many seconds after its beginning all of it is over."""
        return max(self._end(event) for event in self.event)

    def _end(self, event: Event) -> float:
        """When an event is over: a halt for ever is with the first resume that names all of it."""
        if event.end < _FOR_EVER or not isinstance(event, Halt):
            return event.end
        resumes = [each for each in self.event if isinstance(each, Resume) and each.end >= seconds(event.at)]
        ends = [each.end for each in resumes if "*" in each.symbols or {*event.symbols} <= {*each.symbols}]
        return min(ends, default=_FOR_EVER)


def read_scenario(text: str) -> Scenario:
    """The scenario that the TOML `text` says; InputError names the key and the value that are wrong."""
    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:  # the parser calls itself for each bracket
        raise InputError(f"scenario: {error}", field="scenario") from None
    try:
        return msgspec.convert(document, Scenario)
    except msgspec.ValidationError as error:
        raise complaint("scenario", document, str(error), Scenario) from None


def seconds(duration: str) -> float:
    """How long `200ms`, `1.5s`, `2m` and `1h` are."""
    found = _DURATION.fullmatch(duration)
    if found is None:
        raise InputError(f"{duration!r} is no duration", hint="200ms, 1.5s, 2m, 1h")
    return float(found[1]) * _UNITS[found[2]]


def strangers(scenario: Scenario, symbols: list[str]) -> list[str]:
    """What the scenario's events name that is none of the symbols."""
    named = dict.fromkeys(glob for event in scenario.event for glob in event.symbols)
    return [glob for glob in named if not any(fnmatchcase(symbol, glob) for symbol in symbols)]


class Script:
    """A scenario at work on a market from `start` on, of which the time up to `now` has passed.

    Its chance, `rng`, is its own: the market's stays as it is.
    """

    def __init__(self, scenario: Scenario, start: int, rng: np.random.Generator, *, now: int | None = None) -> None:
        self.start = start
        self._scenario = scenario
        self._rng = rng
        self._now = start if now is None else now
        self._symbols: list[str] = []
        self._cast: list[tuple[Event, Mask]] = []

    def drive(self, walk: Walk, until: int) -> list[str]:
        """Push the market before it goes on to the time `until`; answers symbols that stop trading."""
        self._look(walk)
        since, self._now = self._seconds(self._now), until
        return [name for event, which in self._cast for name in event.drive(walk, which, since, self._seconds(until))]

    def resume(self, walk: Walk, seen: Mapping[str, int]) -> None:
        """Do again to a market that begins anew what it had done; symbols' prices are as of the moments `seen`.

        The market moves in blocks, and so a price has in it all up to the end of its block.
        """
        self._look(walk)
        ends = [block_after(seen.get(symbol, 0) - self.start) for symbol in walk.symbols]
        for event, which in sorted(self._cast, key=lambda each: seconds(each[0].at)):
            event.resume(walk, which, self._seconds(self._now), np.array(ends) / 1e9)
        walk.accept()

    def end(self, walk: Walk) -> None:
        """Let go of what it still holds: everybody trades, as often as the model says."""
        every = np.ones(len(walk.symbols), np.bool_)
        walk.hurry(every, 1.0)
        walk.release(every)

    def alter(self, ticks: Ticks) -> Ticks:
        """What arrives of the market's ticks."""
        for event, cast in self._cast:
            since = (ticks["ts"] - self.start) / 1e9
            on = (since >= seconds(event.at)) & (since < event.end)
            if on.any():
                names = np.array([symbol.encode() for symbol, plays in zip(self._symbols, cast, strict=True) if plays])
                ticks = event.alter(ticks, on & np.isin(ticks["symbol"], names), self._rng)
        return ticks

    def _look(self, walk: Walk) -> None:
        """Who plays: at first, and after another model came."""
        if walk.symbols is not self._symbols:
            self._symbols = walk.symbols
            self._cast = [(event, _matching(event, walk.symbols)) for event in self._scenario.event]

    def _seconds(self, ts: int) -> float:
        return (ts - self.start) / 1e9


def block_after(elapsed: int) -> int:
    """The end of the block of a tick so many nanoseconds after a scenario began; 0 for one from before that."""
    return max(0, elapsed // BLOCK_NS + 1) * BLOCK_NS


def _matching(event: Event, symbols: list[str]) -> Mask:
    return np.array([any(fnmatchcase(symbol, glob) for glob in event.symbols) for symbol in symbols], np.bool_)
