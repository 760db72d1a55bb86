"""Model files and their checks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tickwire.core.codec import encode_json
from tickwire.errors import InputError
from tickwire.simulation.model import parse_model
from tickwire.simulation.universe import built_in_instruments, built_in_model

A = {"symbol": "A", "price": 1}
INVALID_MODELS = [
    ({"format": 2}, "format", "model: format = 2: this version of Tickwire reads format 1"),
    ({"version": ""}, "version", 'model: version = "": expected `str` of length >= 1'),
    ({"symbols": []}, "symbols", "model: symbols = []: expected `array` of length >= 1"),
    ({"colour": 1}, "model", "model: object contains unknown field `colour`"),
    ({"symbols": [A, A]}, "symbols[1].symbol", 'model: symbols[1].symbol = "A": occurs twice'),
    ({"symbols": [A | {"volatility": -0.1}]}, "symbols[0].volatility", "symbols[0].volatility = -0.1: expected"),
    ({"symbols": [A | {"volatility": "high"}]}, "symbols[0].volatility", 'symbols[0].volatility = "high": expected'),
    ({"symbols": [A | {"price": 0}]}, "symbols[0].price", "symbols[0].price = 0: expected"),
    ({"symbols": [{"symbol": "A"}]}, "symbols[0]", "symbols[0]: object missing required field `price`"),
    ({"symbols": [A | {"vol": 1}]}, "symbols[0]", "symbols[0]: object contains unknown field `vol`"),
    (
        {"symbols": [A | {"market": 0.9, "sector_loading": 0.9}]},
        "symbols[0].sector_loading",
        "sector_loading = 0.9: is too large for market = 0.9",
    ),
    (
        {"symbols": [A | {"tick_size": 2}]},
        "symbols[0].tick_size",
        "tick_size = 2.0: must not be larger than the price, 1",
    ),
    (
        {"symbols": [A | {"volatility": 0.1, "jumps": {"per_year": 100, "deviation": 0.02}}]},
        "symbols[0].volatility",
        "volatility = 0.1: must be more than 0.2, which is the volatility of the jumps alone",
    ),
    ({"profile": {"volume": [1, 0]}}, "profile.volume[1]", "profile.volume[1] = 0: expected"),
    ({"session": {"open": "9:30", "close": "16:00"}}, "session.open", 'session.open = "9:30": expected'),
    ({"session": {"open": "09:30", "close": "09:30"}}, "session.close", "must be later than the opening time, 09:30"),
    (
        {"session": {"open": "09:30", "close": "16:00", "timezone": "Mars/Olympus"}},
        "session.timezone",
        'session.timezone = "Mars/Olympus": is not a known time zone',
    ),
]


@pytest.mark.parametrize(("change", "field", "message"), INVALID_MODELS)
def test_invalid_model_raises_with_key_and_value(change: dict[str, Any], field: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_model(encode_json({"format": 1, "version": "x", "symbols": [A]} | change))
    assert message in str(caught.value)
    assert caught.value.field == field


def test_invalid_symbol_of_a_model_raises_with_a_hint() -> None:
    for symbol, message, hint in (
        (A | {"volatilty": 0.1}, "symbols[0]: object contains unknown field `volatilty`", "did you mean volatility?"),
        (A | {"symbol": "A|B"}, 'symbols[0].symbol = "A|B": expected a symbol: 1 to 32 ASCII letters', None),
    ):
        with pytest.raises(InputError) as caught:
            parse_model(encode_json({"format": 1, "version": "x", "symbols": [symbol]}))
        assert (message in str(caught.value), caught.value.hint) == (True, hint)


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"\xff", b"null"])
def test_other_documents_raise(text: bytes) -> None:
    with pytest.raises(InputError, match="model"):
        parse_model(text)


def test_built_in_model_is_plausible() -> None:
    """The model has about a hundred symbols of several exchanges and sectors, with all reference data of quotes."""
    instruments = built_in_instruments()
    assert len({each.symbol for each in instruments}) == len(instruments) >= 100
    assert len({each.exchange for each in instruments}) >= 5
    assert len({each.sector for each in instruments}) >= 10
    for each in instruments:
        assert each.prev_close > 0
        assert 0 < each.tick_size < each.prev_close
        assert 0.05 < each.volatility < 1.5
    assert parse_model(encode_json(built_in_model())) == built_in_model()


def test_example_model_is_valid() -> None:
    model = parse_model((Path(__file__).parents[3] / "examples" / "models" / "us-session.json").read_bytes())
    assert model.session
    assert model.halts
    assert len(model.profile.volume) == 13
