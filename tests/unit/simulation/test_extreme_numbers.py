"""Extreme numbers in models and scenarios: an error names the key, or all numbers of the market are finite."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import numpy as np
import pytest

from tickwire.core.tick import MAX_PRICE
from tickwire.errors import InputError
from tickwire.simulation.model import MarketModel, parse_model
from tickwire.simulation.price_process import PriceProcess
from tickwire.simulation.scenario import ScenarioRunner, parse_scenario

T = TypeVar("T")
START = 1_700_000_000 * 10**9
# A model with every number that a model may have.
MODEL: dict[str, Any] = {
    "format": 1,
    "version": "x",
    "symbols": [
        {
            "symbol": "A",
            "price": 12.5,
            "tick_size": 0.01,
            "eps": 1.0,
            "shares": 1e6,
            "drift": 0.1,
            "volatility": 0.3,
            "market": 0.5,
            "sector_loading": 0.3,
            "spread": 0.001,
            "size": 100.0,
            "activity": 1.0,
            "jumps": {"per_year": 10.0, "mean": 0.001, "deviation": 0.01},
        },
        {"symbol": "B", "price": 5.0},
    ],
    "session": {"open": "00:00", "close": "23:59", "days": 252, "overnight": 0.1},
    "profile": {"volume": [1.0, 2.0], "volatility": [1.0, 2.0]},
    "auction": 20.0,
    "halts": {"move": 0.1, "window": 300.0, "seconds": 300.0},
    "clusters": {"deviation": 0.3, "half_life": 30.0},
}
EXTREMES = ("1e400", "1e308", "1e300", "1e155", "1e30", "1e12", "1e9", "1e-12", "1e-155", "1e-300", "5e-324", "0")
NUMBERS = [*EXTREMES, *(f"-{number}" for number in EXTREMES), "1" * 400, "1" * 5_000, "NaN", "true"]
ACTIONS = {
    "crash": {"fall": 0.5, "over": "2s", "recover": "2s"},
    "halt": {"lasts": "1s"},
    "burst": {"times": 10.0, "lasts": "1s"},
    "split": {"ratio": 2.0},
    "mute": {"lasts": "1s"},
    "duplicate": {"share": 0.5, "lasts": "1s"},
    "shuffle": {"share": 0.5, "lasts": "1s"},
}
DURATIONS = ["0s", "0ms", "0.001ms", "1000000h", "99999999999999h", f"{'9' * 400}h", f"{'9' * 5_000}s", "99999999999s"]


def number_keys(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Return the path of each number in a JSON document."""
    if isinstance(value, dict | list):
        for key, child in value.items() if isinstance(value, dict) else enumerate(value):
            yield from number_keys(child, (*path, key))
    elif not isinstance(value, str):
        yield path


def with_number(document: Any, path: tuple[Any, ...], number: str) -> str:
    """Return the JSON text of a document, with another number at a path."""
    copy = json.loads(json.dumps(document))
    parent = copy
    for key in path[:-1]:
        parent = parent[key]
    parent[path[-1]] = "HERE"
    return json.dumps(copy).replace('"HERE"', number)


def parse_or_field(parse: Callable[[str], T], text: str) -> T | str:
    """Return the parsed document. If the document is invalid, return the name of the field in the error."""
    try:
        return parse(text)
    except InputError as error:
        return error.field or ""


def check_market(model: MarketModel, scenario: str | None = None) -> None:
    """Simulate a few seconds. Raise AssertionError or FloatingPointError if a number is invalid."""
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        market = PriceProcess(model, np.random.default_rng(1), START)
        runner = None
        if scenario is not None:
            runner = ScenarioRunner(parse_scenario(scenario), START, np.random.default_rng(2))
        for _ in range(30):
            if runner is not None:
                runner.apply_to_market(market, market.next_block_end)
            ticks = market.simulate_block().ticks
            if runner is not None:
                ticks = runner.transform_ticks(ticks)
            for name in ("last", "bid", "ask", "size", "bid_size", "ask_size"):
                assert np.isfinite(ticks[name]).all()
            for name in ("last", "bid", "ask"):
                assert ((ticks[name] > 0) & (ticks[name] <= MAX_PRICE)).all()
        market.with_model(model).simulate_block()
        if runner is not None:
            runner.reapply_to_market(market, {"A": START + 10**9})


@pytest.mark.parametrize("path", [*number_keys(MODEL)], ids=str)
def test_an_extreme_number_of_a_model_is_rejected_or_harmless(path: tuple[Any, ...]) -> None:
    failures = []
    for number in NUMBERS:
        model = parse_or_field(parse_model, with_number(MODEL, path, number))
        if isinstance(model, str):
            continue
        try:
            check_market(model)
        except (AssertionError, ArithmeticError, ValueError, IndexError, MemoryError) as error:
            failures.append((number[:20], repr(error)[:200]))
    assert failures == []


@pytest.mark.parametrize("name", ACTIONS)
def test_an_extreme_number_of_a_scenario_is_rejected_or_harmless(name: str) -> None:
    model, failures = parse_model(json.dumps(MODEL)), []
    action = {"at": "1s", **ACTIONS[name]}
    for key, usual in action.items():
        for text in DURATIONS if isinstance(usual, str) else [each.replace("NaN", "nan") for each in NUMBERS]:
            values = action | {key: text}
            lines = [
                f'{each} = "{value}"' if isinstance(action[each], str) else f"{each} = {value}"
                for each, value in values.items()
            ]
            scenario = "\n".join(['name = "x"', "[[event]]", f'do = "{name}"', *lines])
            if isinstance(parse_or_field(parse_scenario, scenario), str):
                continue
            try:
                check_market(model, scenario)
            except (AssertionError, ArithmeticError, ValueError, IndexError, MemoryError) as error:
                failures.append((key, text[:20], repr(error)[:200]))
    assert failures == []


def test_the_usual_numbers_are_harmless() -> None:
    model = parse_model(json.dumps(MODEL))
    assert math.isclose(model.symbols[0].price, 12.5)
    check_market(model)


@pytest.mark.parametrize(
    ("path", "number", "message"),
    [
        (("symbols", 0, "price"), "1e400", 'model: symbols[0].price = "1e400": number out of range'),
        (("symbols", 0, "price"), "1" * 5_000, 'model: symbols[0].price = "11111'),
        (("halts", "seconds"), "1e300", "model: halts.seconds = 1e300: expected `float` <= 1000000000.0"),
        (("profile", "volume", 1), "1e308", "model: profile.volume[1] = 1e308: expected `float` <="),
        (("format",), "1" * 400, "model: format = "),
    ],
    ids=str,
)
def test_the_error_names_the_key_and_the_value(path: tuple[Any, ...], number: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_model(with_number(MODEL, path, number))
    assert str(caught.value).startswith(message)
    assert len(str(caught.value)) < 200


def test_a_duration_that_is_too_long_is_named() -> None:
    with pytest.raises(InputError, match=r"event\[0\].*lasts = '99999999999999h' is longer than 1000000000 s"):
        parse_scenario('name = "x"\n[[event]]\nat = "1s"\ndo = "halt"\nlasts = "99999999999999h"')
