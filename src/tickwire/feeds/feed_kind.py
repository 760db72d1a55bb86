"""The declaration of a feed for the registry, and the options that open a feed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple, TypeAlias

from tickwire.clock import Clock
from tickwire.core.instrument import Instrument
from tickwire.feeds.base import Feed, FeedMode
from tickwire.feeds.vendors.vendor import Credentials
from tickwire.recordings.tick_reader import RecordingOptions
from tickwire.simulation.model import MarketModel
from tickwire.simulation.scenario import Scenario


class MarketState(NamedTuple):
    """The state of a simulated market. A new simulation continues the market from this state.

    `price_times` contains the time of each price. `newest_time` is the latest of these times. Times are in nanoseconds
    since the Unix epoch. `halted_symbols` contains the halted symbols whose halt was reported to readers.
    """

    prices: Mapping[str, float] = MappingProxyType({})
    price_times: Mapping[str, int] = MappingProxyType({})
    newest_time: int = 0
    halted_symbols: Collection[str] = ()


class ScenarioRun(NamedTuple):
    """A running scenario.

    `started_at` is in nanoseconds of market time. `is_manual` is True if a client started the scenario, and False if
    the settings name the scenario.
    """

    scenario: Scenario
    started_at: int
    is_manual: bool


class FeedOptions(NamedTuple):
    """The options of all kinds of feeds. A feed ignores the options that do not apply to its kind.

    `start` is in nanoseconds since the Unix epoch. A simulation first generates the ticks of the `history_s` seconds
    before its start. `scenario_run` is the running scenario that a simulation continues.

    `urls` maps the name of a vendor to an address that replaces the vendor's default address. `credentials` belong to
    an account at a vendor. With `applies_conditions`, a trade changes only the values that its sale conditions
    allow. With `distinct_symbols`, the symbol BTC/USD of the vendor kraken becomes KRAKEN:BTC/USD.
    `greeting` contains the messages that the feed `ws` sends after it has connected, one per line. The feed `poll`
    sends a request every `poll_interval_s` seconds.
    """

    speed: float = 1.0
    loop: bool = False
    recording_options: RecordingOptions = RecordingOptions()
    seed: int | None = None
    start: int | None = None
    rate: float = 3.0
    history_s: float = 0.0
    model: MarketModel | None = None
    scenario_path: Path | None = None
    scenario_run: ScenarioRun | None = None
    urls: Mapping[str, str] = MappingProxyType({})
    credentials: Credentials = Credentials()
    applies_conditions: bool = False
    distinct_symbols: bool = False
    greeting: str = ""
    poll_interval_s: float = 3.0


FeedOpener: TypeAlias = Callable[[str, FeedOptions, Clock, MarketState], Feed]
"""A function that opens a feed. Its parameters are the argument, the options, the clock and the market to continue."""


def _no_instruments(_argument: str, _options: FeedOptions) -> tuple[Instrument, ...]:
    return ()


class FeedKind(NamedTuple):
    """The declaration of one kind of feed in the registry.

    A setting selects a feed by its `name`. If `argument` is set, the setting has the form `name:ARGUMENT`, and the
    argument is required unless `is_argument_optional` is True. If clients publish the ticks of the feed, `open_feed` is
    None. The function `instruments` returns the reference data of the feed for its argument and options.
    `is_always_open` is True if the market never closes. `is_vendor` is True if the argument lists symbols of a vendor.
    """

    name: str
    mode: FeedMode
    open_feed: FeedOpener | None = None
    argument: str = ""
    instruments: Callable[[str, FeedOptions], tuple[Instrument, ...]] = _no_instruments
    is_argument_optional: bool = False
    is_always_open: bool = False
    is_vendor: bool = False

    @property
    def syntax(self) -> str:
        """The form of the setting that selects the feed, such as `replay:PATH`. Help texts show this form."""
        argument = f":{self.argument}" if self.argument else ""
        return f"{self.name}[{argument}]" if self.is_argument_optional else self.name + argument
