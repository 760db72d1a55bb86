"""Scenarios are scripts of market events for tests, demonstrations and load tests. A scenario is a small TOML file.

docs/simulator.md explains every key. Times in a scenario are market times, counted from the start of the scenario.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta

from tickwire.core.arrays import Bools, Floats
from tickwire.core.text_column import GLOB, TextColumn, parse_pattern
from tickwire.core.tick import PackedTicks
from tickwire.core.timestamps import DURATION_PATTERN, duration_s
from tickwire.errors import InputError
from tickwire.simulation.halts import UNTIL_RESUMED
from tickwire.simulation.model import MAX_PERIOD_S
from tickwire.simulation.price_process import PriceProcess
from tickwire.simulation.timeline import BLOCK_NS
from tickwire.simulation.toml_text import check_key_parts
from tickwire.simulation.validation_error import invalid_document_error

Duration = Annotated[
    str,
    Meta(pattern=rf"^{DURATION_PATTERN.pattern}$", description="a duration with its unit: 200ms, 1.5s, 2m, 1h or 1d"),
]
Share = Annotated[float, Meta(gt=0, le=1)]
_DURATION_FIELDS = ("at", "lasts", "over", "recover")
_NO_END = float("inf")
# The maximum numbers of events and of names in a scenario. The server compares each event with each other event, and
# each symbol of the market with each name. With these numbers, both comparisons take about 20 ms.
_MAX_EVENTS = 200
_MAX_NAMES = 1_000
# The duration of a fall or a recovery to which the scenario gives the duration 0. This duration is shorter than any
# time step.
_SHORTEST_CRASH_S = 1e-9


class _Action(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="do", tag=str.lower):
    """A market event. The event starts at `at` and affects the symbols that match `symbols` (by default, all
    symbols)."""

    at: Duration
    symbols: Annotated[tuple[str, ...], Meta(min_length=1)] = ("*",)

    def __post_init__(self) -> None:
        """Raise ValueError if a duration is too long."""
        for name in _DURATION_FIELDS:
            duration: str | None = getattr(self, name, None)
            if duration is not None and parse_duration_s(duration) > MAX_PERIOD_S:
                raise ValueError(f"{name} = {duration[:20]!r} is longer than {MAX_PERIOD_S:.0f} s")

    def apply_to_market(self, market: PriceProcess, selection: Bools, since: float, until: float) -> list[str]:
        """Apply the effects that the event has between `since` and `until`. Return the newly halted symbols.

        `since` and `until` are in seconds since the start of the scenario. Call this method before the market advances
        from `since` to `until`.
        """
        del market, selection, since, until
        return []

    def transform_ticks(self, ticks: PackedTicks, selection: Bools, rng: np.random.Generator) -> PackedTicks:
        """Apply the event to the ticks that `selection` selects. Return the ticks that arrive, in order of arrival.

        `selection` must select the ticks whose symbol the event affects and whose time is during the event.
        """
        del selection, rng
        return ticks

    def reapply_to_market(self, market: PriceProcess, selection: Bools, now: float, priced_until_s: Floats) -> None:
        """Apply the effects of the event again to a market that has just restarted.

        The restart occurs `now` seconds after the start of the scenario.

        `priced_until_s` contains one time for each symbol, in seconds since the start of the scenario. The price of the
        symbol already contains all effects up to this time.
        """

    @property
    def end_s(self) -> float:
        """The end of the event, in seconds since the start of the scenario."""
        lasts: str | None = getattr(self, "lasts", None)
        return _NO_END if lasts is None else parse_duration_s(self.at) + parse_duration_s(lasts)

    def starts_between(self, since: float, until: float) -> bool:
        """Return whether the event starts at `since` or later, but before `until`."""
        return since <= parse_duration_s(self.at) < until


class Crash(_Action, frozen=True):
    """Prices fall by the fraction `fall` within the duration `over`.

    If `recover` is set, prices then return to their old level within the duration `recover`.
    """

    fall: Annotated[float, Meta(gt=0, lt=1)]
    over: Duration = "10s"
    recover: Duration | None = None

    def apply_to_market(self, market: PriceProcess, selection: Bools, since: float, until: float) -> list[str]:
        by = float(np.log1p(-self.fall) * (self._fall_fraction(until) - self._fall_fraction(since)))
        if by:
            market.shift_log_prices(selection, by)
        return []

    def reapply_to_market(self, market: PriceProcess, selection: Bools, now: float, priced_until_s: Floats) -> None:
        """Apply the rest of the crash to each symbol whose price contains only a part of the crash.

        A symbol's stored price is the price of its last trade. If this trade was during the crash, the price contains
        only a part of the crash.
        """
        by = np.log1p(-self.fall) * (self._fall_fraction(now) - self._fall_fraction(priced_until_s))
        market.shift_log_prices(selection & (by != 0), by)

    @property
    def end_s(self) -> float:
        recovery_s = 0.0 if self.recover is None else parse_duration_s(self.recover)
        return parse_duration_s(self.at) + parse_duration_s(self.over) + recovery_s

    def _fall_fraction(self, now: float | Floats) -> Floats:
        """Return how much of the fall has happened at the time `now`, as a fraction.

        The fraction is 0 before the fall, 1 at the bottom, and 0 after the recovery.
        """
        since, over = np.asarray(now) - parse_duration_s(self.at), parse_duration_s(self.over)
        fallen = np.clip(since / max(over, _SHORTEST_CRASH_S), 0, 1)
        if self.recover is None:
            return fallen
        return fallen - np.clip((since - over) / max(parse_duration_s(self.recover), _SHORTEST_CRASH_S), 0, 1)


class HaltTrading(_Action, frozen=True, tag="halt"):
    """Trading in the symbols stops for the duration `lasts`, or until a resume event."""

    lasts: Duration | None = None

    def apply_to_market(self, market: PriceProcess, selection: Bools, since: float, until: float) -> list[str]:
        if not self.starts_between(since, until):
            return []
        return market.halt(
            selection, UNTIL_RESUMED if self.lasts is None else market.now + round(parse_duration_s(self.lasts) * 1e9)
        )

    def reapply_to_market(self, market: PriceProcess, selection: Bools, now: float, priced_until_s: Floats) -> None:
        del priced_until_s
        if parse_duration_s(self.at) < now < self.end_s:
            market.halt(
                selection, UNTIL_RESUMED if self.lasts is None else market.now + round((self.end_s - now) * 1e9)
            )


class ResumeTrading(_Action, frozen=True, tag="resume"):
    """Trading in the halted symbols resumes."""

    def apply_to_market(self, market: PriceProcess, selection: Bools, since: float, until: float) -> list[str]:
        if self.starts_between(since, until):
            market.lift_halts(selection)
        return []

    def reapply_to_market(self, market: PriceProcess, selection: Bools, now: float, priced_until_s: Floats) -> None:
        del priced_until_s
        if parse_duration_s(self.at) < now:
            market.lift_halts(selection)

    @property
    def end_s(self) -> float:
        return parse_duration_s(self.at)


class Burst(_Action, frozen=True):
    """The symbols trade more often than in the model, by the factor `times`."""

    times: Annotated[float, Meta(gt=0, le=1_000)]
    lasts: Duration

    def apply_to_market(self, market: PriceProcess, selection: Bools, since: float, until: float) -> list[str]:
        if self.starts_between(since, until):
            market.set_trade_multiplier(selection, self.times)
        if since <= self.end_s < until:
            market.set_trade_multiplier(selection, 1.0)
        return []

    def reapply_to_market(self, market: PriceProcess, selection: Bools, now: float, priced_until_s: Floats) -> None:
        del priced_until_s
        if parse_duration_s(self.at) < now <= self.end_s:
            market.set_trade_multiplier(selection, self.times)


class Split(_Action, frozen=True):
    """Each share of the symbols becomes `ratio` shares. A ratio of 0.1 merges ten shares into one."""

    ratio: Annotated[float, Meta(gt=0, le=1_000)]

    def apply_to_market(self, market: PriceProcess, selection: Bools, since: float, until: float) -> list[str]:
        if self.starts_between(since, until):
            market.split_shares(selection, self.ratio)
        return []

    def reapply_to_market(self, market: PriceProcess, selection: Bools, now: float, priced_until_s: Floats) -> None:
        """Repeat the share split for each symbol whose stored price is older than the split event."""
        if parse_duration_s(self.at) < now:
            market.split_shares(selection & (priced_until_s <= parse_duration_s(self.at)), self.ratio)

    @property
    def end_s(self) -> float:
        return parse_duration_s(self.at)


class Mute(_Action, frozen=True):
    """The symbols trade, but their ticks do not arrive, as if the connection to the feed were broken."""

    lasts: Duration | None = None

    def transform_ticks(self, ticks: PackedTicks, selection: Bools, rng: np.random.Generator) -> PackedTicks:
        arriving: PackedTicks = ticks[~selection]
        return arriving


class Duplicate(_Action, frozen=True):
    """Each tick arrives twice with the probability `share`."""

    share: Share
    lasts: Duration | None = None

    def transform_ticks(self, ticks: PackedTicks, selection: Bools, rng: np.random.Generator) -> PackedTicks:
        return np.repeat(ticks, 1 + (selection & (rng.random(len(ticks)) < self.share)))


class Shuffle(_Action, frozen=True):
    """Each tick arrives late with the probability `share`, after newer ticks of the same block of market time."""

    share: Share
    lasts: Duration | None = None

    def transform_ticks(self, ticks: PackedTicks, selection: Bools, rng: np.random.Generator) -> PackedTicks:
        late = selection & (rng.random(len(ticks)) < self.share)
        return ticks[np.argsort(np.arange(len(ticks)) + late * rng.uniform(0, len(ticks), len(ticks)), kind="stable")]


class Stuck(Mute, frozen=True):
    """The feed sends no ticks of any symbol."""


Action = Crash | HaltTrading | ResumeTrading | Burst | Split | Mute | Duplicate | Shuffle | Stuck


class Scenario(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A script of market events, with its name and its description."""

    name: str
    event: Annotated[tuple[Action, ...], Meta(min_length=1, max_length=_MAX_EVENTS)]
    about: str = ""

    @property
    def end_s(self) -> float:
        """The end of the last event, in seconds since the start of the scenario."""
        return max(self._action_end_s(event) for event in self.event)

    def _action_end_s(self, event: Action) -> float:
        """Return the end of an event, in seconds since the start of the scenario.

        A halt without a duration ends at the next resume event that affects all symbols of the halt.
        """
        if event.end_s < _NO_END or not isinstance(event, HaltTrading):
            return event.end_s
        resumes = [
            each for each in self.event if isinstance(each, ResumeTrading) and each.end_s >= parse_duration_s(event.at)
        ]
        ends = [each.end_s for each in resumes if "*" in each.symbols or {*event.symbols} <= {*each.symbols}]
        return min(ends, default=_NO_END)


def parse_scenario(text: str) -> Scenario:
    """Parse the TOML text of a scenario.

    If the scenario is invalid, raise an InputError with the invalid key and value.
    """
    check_key_parts(text, "scenario")
    try:
        document = tomllib.loads(text)
    # The parser recurses for each opening bracket, so deep nesting raises RecursionError. A number with too many digits
    # raises ValueError, the base class of TOMLDecodeError.
    except (ValueError, RecursionError) as error:
        raise InputError(f"scenario: {error}", field="scenario") from None
    try:
        scenario = msgspec.convert(document, Scenario)
    except msgspec.ValidationError as error:
        raise invalid_document_error("scenario", document, str(error), Scenario) from None
    count = sum(len(event.symbols) for event in scenario.event)
    if count > _MAX_NAMES:
        raise InputError(
            f"the scenario names {count} symbols and patterns: at most {_MAX_NAMES} are allowed", field="scenario"
        )
    return scenario


def parse_duration_s(duration: str) -> float:
    """Return a duration such as `200ms`, `1.5s`, `2m`, `1h` or `5d` in seconds. Raise InputError for any other text."""
    seconds = duration_s(duration)
    if seconds is None:
        raise InputError(
            f"{duration!r} is not a duration", hint="write a number with its unit: 200ms, 1.5s, 2m, 1h or 1d"
        )
    return seconds


def unmatched_symbols(scenario: Scenario, symbols: list[str]) -> list[str]:
    """Return the symbols and patterns in the scenario that match no symbol in `symbols`."""
    column = TextColumn(symbols)
    patterns = dict.fromkeys(glob for event in scenario.event for glob in event.symbols)
    return [glob for glob in patterns if not column.matches(parse_pattern(glob, GLOB)).any()]


class ScenarioRunner:
    """Runs a scenario on a market.

    The scenario starts at the market time `start`. `apply_to_market` applies only the effects after the market time
    `now`. By default, `now` is `start`. `rng` is separate from the random generator of the market, so that a scenario
    does not change the random prices.
    """

    def __init__(self, scenario: Scenario, start: int, rng: np.random.Generator, *, now: int | None = None) -> None:
        self.start = start
        self._scenario = scenario
        self._rng = rng
        self._applied_until = start if now is None else now
        self._matched_symbols: list[str] = []
        self._actions: list[tuple[Action, Bools]] = []

    def apply_to_market(self, market: PriceProcess, until: int) -> list[str]:
        """Apply the scenario's effects up to `until`. Return the newly halted symbols.

        Call this method before the market advances to `until`.
        """
        self._match_symbols(market)
        since, self._applied_until = self._elapsed_s(self._applied_until), until
        return [
            name
            for event, affected in self._actions
            for name in event.apply_to_market(market, affected, since, self._elapsed_s(until))
        ]

    def reapply_to_market(self, market: PriceProcess, price_times: Mapping[str, int]) -> None:
        """Apply the effects of the scenario again to a market that restarts with stored prices.

        `price_times` maps a symbol to the time of its stored price. The market advances in blocks of time. Before a
        block begins, the scenario applies all effects up to the end of the block. A stored price therefore contains all
        effects up to the end of the block in which the symbol traded.
        """
        self._match_symbols(market)
        ends = [block_end_after(price_times.get(symbol, 0) - self.start) for symbol in market.symbols]
        for event, affected in sorted(self._actions, key=lambda each: parse_duration_s(each[0].at)):
            event.reapply_to_market(market, affected, self._elapsed_s(self._applied_until), np.array(ends) / 1e9)
        market.reset_halt_reference()

    def clear_effects(self, market: PriceProcess) -> None:
        """End the effects that would outlast the scenario.

        After this call, no symbol is halted, and all symbols trade as often as in the model.
        """
        every = np.ones(len(market.symbols), np.bool_)
        market.set_trade_multiplier(every, 1.0)
        market.lift_halts(every)

    def transform_ticks(self, ticks: PackedTicks) -> PackedTicks:
        """Apply all events in progress to the ticks. Return the ticks that arrive, in order of arrival."""
        for event, affected in self._actions:
            since = (ticks["ts"] - self.start) / 1e9
            in_progress = (since >= parse_duration_s(event.at)) & (since < event.end_s)
            if in_progress.any():
                matches = zip(self._matched_symbols, affected, strict=True)
                names = np.array([symbol.encode() for symbol, is_affected in matches if is_affected])
                selection = in_progress & np.isin(ticks["symbol"], names)
                ticks = event.transform_ticks(ticks, selection, self._rng)
        return ticks

    def _match_symbols(self, market: PriceProcess) -> None:
        """Find the symbols that each event affects, if the symbols of the market have changed."""
        if market.symbols is not self._matched_symbols:
            self._matched_symbols = market.symbols
            column = TextColumn(market.symbols)
            self._actions = [(event, _symbol_mask(event, column)) for event in self._scenario.event]

    def _elapsed_s(self, ts: int) -> float:
        return (ts - self.start) / 1e9


def block_end_after(elapsed: int) -> int:
    """Return the end of the block of market time that contains a tick.

    `elapsed` is the time of the tick. `elapsed` and the result are in nanoseconds since the start of the scenario. The
    result is 0 if the tick precedes the start.
    """
    return max(0, elapsed // BLOCK_NS + 1) * BLOCK_NS


def _symbol_mask(event: Action, symbols: TextColumn) -> Bools:
    mask = np.zeros(len(symbols), np.bool_)
    for glob in event.symbols:
        mask |= symbols.matches(parse_pattern(glob, GLOB))
    return mask
