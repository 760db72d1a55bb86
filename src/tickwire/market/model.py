"""The model of a simulated market: what a model file may say, and whether it makes sense.

docs/simulator.md explains every key for the people who write such files.
"""

from __future__ import annotations

from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from msgspec import Meta

from tickwire.core.codec import decode
from tickwire.core.instrument import SYMBOL_PATTERN, SYMBOL_WORDS, Instrument
from tickwire.core.tick import LARGEST_PRICE
from tickwire.errors import InputError
from tickwire.market.complaint import complaint, wrong

FORMAT = 1
MOST_SYMBOLS = 20_000  # what one core simulates at a few ticks a second each
_MOST_BUCKETS = 1_440  # of an intraday profile: one a minute
_SPREAD_OF_VOLATILITY = 8e-4  # a spread over price, for a volatility of 1: Apple some 2 basis points

Positive = Annotated[float, Meta(gt=0)]
Fraction = Annotated[float, Meta(ge=0, le=1)]
Loading = Annotated[float, Meta(ge=-1, le=1)]
Price = Annotated[float, Meta(gt=0, le=LARGEST_PRICE)]
Text = Annotated[str, Meta(max_length=200)]
Weights = Annotated[tuple[Positive, ...], Meta(min_length=1, max_length=_MOST_BUCKETS)]
TimeOfDay = Annotated[str, Meta(pattern=r"^([01]\d|2[0-3]):[0-5]\d$", description="a time of day, such as 09:30")]


class _Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What all parts of a model have in common: a key that is not known is a mistake."""


class Session(_Part, frozen=True):
    """When the market is open, Monday to Friday: `open` to `close` in `timezone`, `days` sessions a year.

    `overnight` is the share of a day's variance that falls between close and open.
    """

    open: TimeOfDay
    close: TimeOfDay
    timezone: str = "UTC"
    days: Annotated[int, Meta(ge=1, le=366)] = 252
    overnight: Annotated[float, Meta(ge=0, lt=1)] = 0.0


class Profile(_Part, frozen=True):
    """How a session goes: relative volume and volatility in equal parts of it, from open to close."""

    volume: Weights = (1.0,)
    volatility: Weights = (1.0,)


class Jumps(_Part, frozen=True):
    """Sudden moves of one symbol: so many a year, of log size normal with `mean` and `deviation`."""

    per_year: Annotated[float, Meta(ge=0, le=10_000)]
    mean: float = 0.0
    deviation: Annotated[float, Meta(ge=0, le=1)] = 0.0

    @property
    def variance(self) -> float:
        """What they add to the variance of a year's log returns."""
        return self.per_year * (self.mean**2 + self.deviation**2)


class Halts(_Part, frozen=True):
    """A symbol stops for `seconds` when it moved by more than `move` (0.1 is 10 %) within about `window` seconds."""

    move: Annotated[float, Meta(gt=0, le=10)]
    window: Positive = 300.0
    seconds: Positive = 300.0


class Clusters(_Part, frozen=True):
    """Calm and busy times: the log of all volatility swings by `deviation`, half forgotten in `half_life` sessions."""

    deviation: Annotated[float, Meta(gt=0, le=1.5)]
    half_life: Annotated[float, Meta(gt=0, le=10_000)]


class SymbolModel(_Part, frozen=True):
    """One symbol: its reference data and how it moves. All but `symbol` and `price` have defaults.

    `drift` and `volatility` are mean and standard deviation of a year's log return, jumps included. `market` and
    `sector_loading` are its correlations with the market factor and with its sector's. `spread` is over price at normal
    volatility, `size` the median trade, `activity` how often it trades beside others.
    """

    symbol: Annotated[str, Meta(pattern=SYMBOL_PATTERN, description=SYMBOL_WORDS)]
    price: Price
    name: Text | None = None
    exchange: Text | None = None
    sector: Text | None = None
    currency: Text | None = None
    tick_size: Price = 0.01
    eps: float | None = None
    shares: Annotated[float, Meta(ge=0)] | None = None
    drift: Annotated[float, Meta(ge=-5, le=5)] = 0.06
    volatility: Annotated[float, Meta(gt=0, le=10)] = 0.25
    market: Loading = 0.5
    sector_loading: Loading = 0.3
    spread: Annotated[float, Meta(gt=0, lt=1)] | None = None
    size: Positive | None = None
    activity: Annotated[float, Meta(gt=0, le=1_000)] = 1.0
    jumps: Jumps | None = None

    @property
    def normal_spread(self) -> float:
        """The spread over price at normal volatility."""
        return self.volatility * _SPREAD_OF_VOLATILITY if self.spread is None else self.spread

    def instrument(self) -> Instrument:
        """Its reference data."""
        return Instrument(
            symbol=self.symbol,
            name=self.name,
            exchange=self.exchange,
            sector=self.sector,
            currency=self.currency,
            tick_size=self.tick_size,
            prev_close=self.price,
            eps=self.eps,
            shares=self.shares,
            volatility=self.volatility,
        )


class Model(_Part, frozen=True):
    """A whole market. `version` is yours to choose and shown wherever the model is in use.

    Without a `session` the market never closes, and its profile spans the day in UTC. `auction` says how many normal
    trades the one at the open and the one at the close are worth.
    """

    format: int
    version: Annotated[str, Meta(min_length=1, max_length=100)]
    symbols: Annotated[tuple[SymbolModel, ...], Meta(min_length=1, max_length=MOST_SYMBOLS)]
    about: str = ""
    session: Session | None = None
    profile: Profile = Profile()
    auction: Annotated[float, Meta(ge=1, le=100_000)] = 20.0
    halts: Halts | None = None
    clusters: Clusters | None = None

    def instruments(self) -> tuple[Instrument, ...]:
        """The reference data of all symbols."""
        return tuple(each.instrument() for each in self.symbols)


def read_model(data: bytes | str) -> Model:
    """The model that the JSON text says; InputError names the key and the value that are wrong."""
    try:
        document = decode(data, object)  # first: a value of another kind would be found before text that is no JSON
        model = decode(data, Model)
    except msgspec.ValidationError as error:
        raise complaint("model", document, str(error), Model) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"the model is no JSON: {error}", field="model") from None
    return check_model(model)


def check_model(model: Model) -> Model:
    """`model` itself if its parts agree with each other, else InputError."""
    if model.format != FORMAT:
        raise wrong("model", "format", model.format, f"this version of Tickwire reads format {FORMAT}")
    if model.session is not None:
        check_session(model.session)
    seen: set[str] = set()
    for place, each in enumerate(model.symbols):
        at = f"symbols[{place}]"
        if each.symbol in seen:
            raise wrong("model", f"{at}.symbol", each.symbol, "is there twice")
        seen.add(each.symbol)
        _check_symbol(each, at)
    return model


def check_session(session: Session) -> Session:
    """`session` itself if it can be, else InputError."""
    if session.close <= session.open:
        raise wrong("model", "session.close", session.close, f"must be later in the day than open, {session.open}")
    try:
        ZoneInfo(session.timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise wrong("model", "session.timezone", session.timezone, "is no time zone this machine knows") from None
    return session


def _check_symbol(each: SymbolModel, at: str) -> None:
    explained = each.market**2 + each.sector_loading**2
    if explained > 1:
        said = f"together with market = {each.market:g} explains more than everything: market² + sector_loading² <= 1"
        raise wrong("model", f"{at}.sector_loading", each.sector_loading, said)
    if each.tick_size > each.price:
        raise wrong("model", f"{at}.tick_size", each.tick_size, f"is larger than the price, {each.price:g}")
    if each.jumps is not None and each.jumps.variance >= each.volatility**2:
        need = each.jumps.variance**0.5
        raise wrong(
            "model", f"{at}.volatility", each.volatility, f"must be more than what its jumps alone make, {need:.3g}"
        )
