"""From the name a user gives to a feed."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from tickwire.clock import Clock
from tickwire.core.instrument import Instrument
from tickwire.errors import InputError
from tickwire.feeds.base import Feed
from tickwire.feeds.playlist import Reading, find_files
from tickwire.feeds.simulator import Before, Played, Simulator
from tickwire.market.model import Model
from tickwire.market.scenario import Scenario, read_scenario
from tickwire.market.universe import built_in

_KINDS = "simulator, replay:PATH or http"


class FeedOptions(NamedTuple):
    """What the feeds can be told; each takes what concerns it."""

    speed: float = 1.0
    loop: bool = False
    reading: Reading = Reading()
    seed: int | None = None
    start: int | None = None  # nanoseconds since the Unix epoch
    rate: float = 3.0
    model: Model | None = None
    scenario: Path | None = None
    played: Played | None = None  # by the simulation before


def check_spec(spec: str) -> tuple[str, str]:
    """The kind of feed and what follows the colon; InputError for what is neither of the kinds."""
    kind, _, rest = spec.partition(":")
    if kind not in ("simulator", "replay", "http"):
        raise InputError(f"unknown feed {spec!r}: choose {_KINDS}", field="feed")
    if kind == "replay" and not rest:
        raise InputError("which recording? name it: replay:PATH", field="feed")
    return kind, rest


def mode_of(spec: str) -> str:
    """What the feed's prices are: `simulated`, `replay` or `live`."""
    return {"simulator": "simulated", "replay": "replay"}.get(check_spec(spec)[0], "live")


def instruments_of(spec: str, model: Model | None = None) -> tuple[Instrument, ...]:
    """The reference data that come with a feed: those of the simulated model. Others bring their own."""
    return (model or built_in()).instruments() if check_spec(spec)[0] == "simulator" else ()


def open_feed(spec: str, options: FeedOptions, clock: Clock, before: Before = Before()) -> Feed | None:  # noqa: B008
    """The feed that `spec` names; None for `http`, which others push to. `before` is where a simulation goes on."""
    kind, rest = check_spec(spec)
    if kind == "replay":
        from tickwire.feeds.replay import Replay

        return Replay(find_files(rest), clock, speed=options.speed, loop=options.loop, reading=options.reading)
    if kind == "simulator":
        scenario = None if options.scenario is None else _scenario(options.scenario)
        return Simulator(
            options.model or built_in(),
            clock,
            seed=options.seed,
            start=options.start,
            rate=options.rate,
            speed=options.speed,
            scenario=scenario,
            before=before,
            played=_unended(options.played, scenario, before.newest),
        )
    return None


def _unended(played: Played | None, given: Scenario | None, newest: int) -> Played | None:
    """What was played and is to be played on: not what was over, nor what was `given` at a start and is no more."""
    if played is None or not (played.by_hand or played.scenario == given):
        return None
    return played if newest - played.began < played.scenario.end * 1e9 else None


def _scenario(path: Path) -> Scenario:
    try:
        return read_scenario(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"the scenario {path} cannot be read: {error}", field="scenario") from None
