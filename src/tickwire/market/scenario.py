"""A script for a simulated session: what happens when. Small TOML files, for tests, demonstrations and load runs.

docs/simulator.md explains every key. Times count market time from the start of the simulation.
"""

from __future__ import annotations

import re
import tomllib
from fnmatch import fnmatchcase
from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta

from tickwire.core.tick import Ticks
from tickwire.errors import InputError
from tickwire.market.complaint import complaint
from tickwire.market.halts import NEVER, Mask
from tickwire.market.walk import Walk

_UNITS = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
Duration = Annotated[
    str, Meta(pattern=rf"^{_DURATION.pattern}$", description="a length of time with its unit: 200ms, 1.5s, 2m or 1h")
]
Share = Annotated[float, Meta(gt=0, le=1)]
_FOR_EVER = float("inf")


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
        by = np.log1p(-self.fall) * (self._depth(until) - self._depth(since))
        if by:
            walk.move(which, by)
        return []

    def _depth(self, now: float) -> float:
        """How much of the fall is in the price: 0 before it and after the recovery, 1 at the bottom."""
        start, over = seconds(self.at), seconds(self.over)
        down = float(np.clip((now - start) / over, 0, 1))
        up = 0.0 if self.recover is None else float(np.clip((now - start - over) / seconds(self.recover), 0, 1))
        return down - up


class Halt(_Event, frozen=True):
    """Trading stops, for the time `lasts` or until a resume."""

    lasts: Duration | None = None

    def drive(self, walk: Walk, which: Mask, since: float, until: float) -> list[str]:
        """Stop it once."""
        if not self.begins(since, until):
            return []
        return walk.suspend(which, NEVER if self.lasts is None else walk.now + round(seconds(self.lasts) * 1e9))


class Resume(_Event, frozen=True):
    """Trading goes on."""

    def drive(self, walk: Walk, which: Mask, since: float, until: float) -> list[str]:
        """Release it once."""
        if self.begins(since, until):
            walk.release(which)
        return []


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


class Split(_Event, frozen=True):
    """Each share becomes `ratio` shares (0.1 joins ten to one)."""

    ratio: Annotated[float, Meta(gt=0, le=1_000)]

    def drive(self, walk: Walk, which: Mask, since: float, until: float) -> list[str]:
        """Split once."""
        if self.begins(since, until):
            walk.split(which, self.ratio)
        return []


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
    """A scenario at work on a market from `start` on. Its chance, `rng`, is its own: the market's stays as it is."""

    def __init__(self, scenario: Scenario, start: int, rng: np.random.Generator) -> None:
        self._scenario = scenario
        self._rng = rng
        self._start = self._now = start
        self._symbols: list[str] = []
        self._cast: list[tuple[Event, Mask]] = []

    def drive(self, walk: Walk, until: int) -> list[str]:
        """Push the market before it goes on to the time `until`; answers symbols that stop trading."""
        if walk.symbols is not self._symbols:  # at first, and after another model came
            self._symbols = walk.symbols
            self._cast = [(event, _matching(event, walk.symbols)) for event in self._scenario.event]
        since, self._now = self._seconds(self._now), until
        return [name for event, which in self._cast for name in event.drive(walk, which, since, self._seconds(until))]

    def end(self, walk: Walk) -> None:
        """Let go of what it still holds: everybody trades, as often as the model says."""
        every = np.ones(len(walk.symbols), np.bool_)
        walk.hurry(every, 1.0)
        walk.release(every)

    def alter(self, ticks: Ticks) -> Ticks:
        """What arrives of the market's ticks."""
        for event, cast in self._cast:
            since = (ticks["ts"] - self._start) / 1e9
            on = (since >= seconds(event.at)) & (since < event.end)
            if on.any():
                names = np.array([symbol.encode() for symbol, plays in zip(self._symbols, cast, strict=True) if plays])
                ticks = event.alter(ticks, on & np.isin(ticks["symbol"], names), self._rng)
        return ticks

    def _seconds(self, ts: int) -> float:
        return (ts - self._start) / 1e9


def _matching(event: Event, symbols: list[str]) -> Mask:
    return np.array([any(fnmatchcase(symbol, glob) for glob in event.symbols) for symbol in symbols], np.bool_)
