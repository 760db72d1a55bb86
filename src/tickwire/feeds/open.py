"""From the name a user gives to a feed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from tickwire.clock import Clock
from tickwire.core.instrument import Instrument
from tickwire.errors import InputError
from tickwire.feeds.base import Feed
from tickwire.feeds.playlist import Reading, find_files
from tickwire.feeds.simulator import Simulator
from tickwire.market.universe import universe

_KINDS = "simulator, replay:PATH or http"


class FeedOptions(NamedTuple):
    """What the feeds can be told; each takes what concerns it."""

    speed: float = 1.0
    loop: bool = False
    reading: Reading = Reading()
    seed: int | None = None
    rate: float = 3.0


def check_spec(spec: str) -> tuple[str, str]:
    """The kind of feed and what follows the colon; InputError for what is neither of the kinds."""
    kind, _, rest = spec.partition(":")
    if kind not in ("simulator", "replay", "http"):
        raise InputError(f"unknown feed {spec!r}: choose {_KINDS}", field="feed")
    if kind == "replay" and not rest:
        raise InputError("which recording? name it: replay:PATH", field="feed")
    return kind, rest


def instruments_of(spec: str) -> tuple[Instrument, ...]:
    """The reference data that come with a feed: the simulator's universe. A recording or a publisher brings its own."""
    return universe() if check_spec(spec)[0] == "simulator" else ()


def open_feed(spec: str, options: FeedOptions, clock: Clock, prices: Mapping[str, float]) -> Feed | None:
    """The feed that `spec` names; None for `http`, which others push to. `prices` are where a simulation goes on."""
    kind, rest = check_spec(spec)
    if kind == "replay":
        from tickwire.feeds.replay import Replay

        return Replay(find_files(rest), clock, speed=options.speed, loop=options.loop, reading=options.reading)
    if kind == "simulator":
        return Simulator(universe(), clock, seed=options.seed, rate=options.rate, start_prices=prices)
    return None
