"""The model of a simulated market. This module declares the format of a model file, and validates its values.

docs/simulator.md explains every key for authors of model files.
"""

from __future__ import annotations

import json
from math import isfinite
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from msgspec import Meta

from tickwire.core.codec import decode_json
from tickwire.core.instrument import SYMBOL_DESCRIPTION, SYMBOL_PATTERN, Instrument
from tickwire.core.tick import MAX_PRICE
from tickwire.errors import InputError
from tickwire.market.derived_fields import MAX_DECIMALS
from tickwire.simulation.validation_error import invalid_document_error, invalid_value_error

MODEL_FORMAT = 1
# The maximum number of symbols. One CPU core can simulate them with a few ticks per second for each symbol.
MAX_MODEL_SYMBOLS = 20_000
# The maximum number of parts of an intraday profile. With this number, each minute of a day is one part.
_MAX_PROFILE_BUCKETS = 1_440
MAX_PERIOD_S = 1e9
"""The longest period, such as the duration of a halt: about 31 years.

The simulation counts nanoseconds in 64 bits, so a longer period could overflow.
"""
# The limits of a profile's weights. Authors may use any unit, such as trades or shares, because weights are relative.
# The limits keep the squares of the weights finite.
_MIN_WEIGHT, _MAX_WEIGHT = 1e-9, 1e12
# The largest median trade size. A trade at the open may be millions of times as large as the median, and a float must
# still represent its size exactly.
_MAX_SIZE = 1e9
# The relative spread of a symbol with volatility 1. With this value, Apple's spread is about 2 basis points.
_SPREAD_PER_VOLATILITY = 8e-4

FactorLoading = Annotated[float, Meta(ge=-1, le=1)]
PositivePrice = Annotated[float, Meta(gt=0, le=MAX_PRICE)]
ShortText = Annotated[str, Meta(max_length=200)]
Period = Annotated[float, Meta(gt=0, le=MAX_PERIOD_S)]
Weight = Annotated[float, Meta(ge=_MIN_WEIGHT, le=_MAX_WEIGHT)]
ProfileWeights = Annotated[tuple[Weight, ...], Meta(min_length=1, max_length=_MAX_PROFILE_BUCKETS)]
TimeOfDay = Annotated[str, Meta(pattern=r"^([01]\d|2[0-3]):[0-5]\d$", description="a time of day, such as 09:30")]


class _ModelPart(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The base of all parts of a model. An unknown key is an error."""


class TradingHours(_ModelPart, frozen=True):
    """The trading hours of a market: Monday to Friday from `open` to `close`, in the time zone `timezone`.

    `days` is the number of trading days per year. The price varies while the market is open and also between the close
    and the next open. `overnight` is the fraction of a day's variance that belongs to the time between the close and
    the next open.
    """

    open: TimeOfDay
    close: TimeOfDay
    timezone: str = "UTC"
    days: Annotated[int, Meta(ge=1, le=366)] = 252
    overnight: Annotated[float, Meta(ge=0, lt=1)] = 0.0


class IntradayProfile(_ModelPart, frozen=True):
    """The relative volume and the relative volatility at each time of a trading session (one day from open to close).

    The session is divided into equal parts. Each list contains one value for each part, in order.
    """

    volume: ProfileWeights = (1.0,)
    volatility: ProfileWeights = (1.0,)


class Jumps(_ModelPart, frozen=True):
    """Sudden price moves of one symbol.

    `per_year` is the mean number of jumps per year. The log sizes of jumps are normally distributed, with the mean
    `mean` and the standard deviation `deviation`.
    """

    per_year: Annotated[float, Meta(ge=0, le=10_000)]
    mean: Annotated[float, Meta(ge=-10, le=10)] = 0.0
    deviation: Annotated[float, Meta(ge=0, le=1)] = 0.0

    @property
    def variance(self) -> float:
        """The variance that jumps add to the annual log return."""
        return self.per_year * (self.mean**2 + self.deviation**2)


class HaltRule(_ModelPart, frozen=True):
    """Halts trading in a symbol for `seconds` if its price moves by more than `move` within about `window` seconds.

    A `move` of 0.1 is 10 %.
    """

    move: Annotated[float, Meta(gt=0, le=10)]
    window: Period = 300.0
    seconds: Period = 300.0


class VolatilityClustering(_ModelPart, frozen=True):
    """Calm and busy times of the whole market.

    `deviation` is the standard deviation of the logarithm of the volatility. After `half_life` trading sessions, the
    autocorrelation of this logarithm is one half.
    """

    deviation: Annotated[float, Meta(gt=0, le=1.5)]
    half_life: Annotated[float, Meta(gt=0, le=10_000)]


class SymbolModel(_ModelPart, frozen=True):
    """The reference data of one symbol, and the parameters of its price.

    All keys except `symbol` and `price` have defaults. The annual log return has the mean `drift` and the standard
    deviation `volatility`. `drift` and `volatility` include the price jumps. `market` is the correlation of the
    symbol's return, without jumps, with a random factor that moves all symbols. `sector_loading` is the correlation of
    this return with a random factor that moves only the symbols of the same sector. `spread` is the difference between
    ask and bid at normal volatility, relative to the price. `size` is the median trade size. `activity` is the number
    of trades, relative to the trades of a symbol with the activity 1.
    """

    symbol: Annotated[str, Meta(pattern=SYMBOL_PATTERN, description=SYMBOL_DESCRIPTION)]
    price: PositivePrice
    name: ShortText | None = None
    exchange: ShortText | None = None
    sector: ShortText | None = None
    currency: ShortText | None = None
    tick_size: Annotated[float, Meta(ge=10.0**-MAX_DECIMALS, le=MAX_PRICE)] = 0.01
    eps: float | None = None
    shares: Annotated[float, Meta(ge=0)] | None = None
    drift: Annotated[float, Meta(ge=-5, le=5)] = 0.06
    volatility: Annotated[float, Meta(gt=0, le=10)] = 0.25
    market: FactorLoading = 0.5
    sector_loading: FactorLoading = 0.3
    spread: Annotated[float, Meta(gt=0, lt=1)] | None = None
    size: Annotated[float, Meta(gt=0, le=_MAX_SIZE)] | None = None
    activity: Annotated[float, Meta(gt=0, le=1_000)] = 1.0
    jumps: Jumps | None = None

    @property
    def normal_spread(self) -> float:
        """The spread relative to the price, at normal volatility."""
        return self.volatility * _SPREAD_PER_VOLATILITY if self.spread is None else self.spread

    def instrument(self) -> Instrument:
        """Return the reference data of the symbol."""
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


class MarketModel(_ModelPart, frozen=True):
    """The model of a market.

    `version` is a text that the author of the model chooses. The status and the dashboard show this text.

    `session` contains the trading hours. If `session` is None, the market never closes, and the intraday profile
    `profile` covers one UTC day. `auction` is the size of the trades at the open and at the close, relative to a normal
    trade.
    """

    format: int
    version: Annotated[str, Meta(min_length=1, max_length=100)]
    symbols: Annotated[tuple[SymbolModel, ...], Meta(min_length=1, max_length=MAX_MODEL_SYMBOLS)]
    about: str = ""
    session: TradingHours | None = None
    profile: IntradayProfile = IntradayProfile()
    auction: Annotated[float, Meta(ge=1, le=100_000)] = 20.0
    halts: HaltRule | None = None
    clusters: VolatilityClustering | None = None

    def instruments(self) -> tuple[Instrument, ...]:
        """Return the reference data of all symbols."""
        return tuple(each.instrument() for each in self.symbols)


def parse_model(data: bytes | str) -> MarketModel:
    """Parse the JSON text of a model. If the model is invalid, raise an InputError with the invalid key and value."""
    try:
        return check_model(decode_json(data, MarketModel))
    except msgspec.ValidationError as error:
        document = _decode_untyped(data)
        raise invalid_document_error("model", document, str(error), MarketModel) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"the model is not JSON: {error}", field="model") from None


def _decode_untyped(data: bytes | str) -> object:
    """Decode the JSON text of a model. The values of the result may have wrong types."""
    try:
        return json.loads(data, parse_int=_parse_number, parse_float=_parse_number)
    except (ValueError, RecursionError) as error:
        raise InputError(f"the model is not JSON: {error}", field="model") from None


def _parse_number(text: str) -> float | str:
    """Return a number of a JSON document. If the number is out of range, return its text, for an error message."""
    try:
        return int(text) if abs(int(text)) < 2**63 else text
    except ValueError:
        return float(text) if isfinite(float(text)) else text


def check_model(model: MarketModel) -> MarketModel:
    """Return `model` if its parts are consistent with each other. Otherwise raise InputError."""
    if model.format != MODEL_FORMAT:
        raise invalid_value_error(
            "model", "format", model.format, f"this version of Tickwire reads format {MODEL_FORMAT}"
        )
    if model.session is not None:
        check_trading_hours(model.session)
    seen: set[str] = set()
    for index, each in enumerate(model.symbols):
        at = f"symbols[{index}]"
        if each.symbol in seen:
            raise invalid_value_error("model", f"{at}.symbol", each.symbol, "occurs twice")
        seen.add(each.symbol)
        _check_symbol(each, at)
    return model


def check_trading_hours(session: TradingHours) -> TradingHours:
    """Return the trading hours `session` if they are valid. Otherwise raise InputError."""
    if session.close <= session.open:
        raise invalid_value_error(
            "model", "session.close", session.close, f"must be later than the opening time, {session.open}"
        )
    try:
        ZoneInfo(session.timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise invalid_value_error(
            "model",
            "session.timezone",
            session.timezone,
            "is not a known time zone: use a name such as America/New_York",
        ) from None
    return session


def _check_symbol(each: SymbolModel, at: str) -> None:
    explained = each.market**2 + each.sector_loading**2
    if explained > 1:
        reason = f"is too large for market = {each.market:g}: market² + sector_loading² must be at most 1"
        raise invalid_value_error("model", f"{at}.sector_loading", each.sector_loading, reason)
    if each.tick_size > each.price:
        raise invalid_value_error(
            "model", f"{at}.tick_size", each.tick_size, f"must not be larger than the price, {each.price:g}"
        )
    if each.jumps is not None and each.jumps.variance >= each.volatility**2:
        minimum = each.jumps.variance**0.5
        raise invalid_value_error(
            "model",
            f"{at}.volatility",
            each.volatility,
            f"must be more than {minimum:.3g}, which is the volatility of the jumps alone",
        )
