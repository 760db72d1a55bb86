"""Scenarios: the effects of each example on a market, and the errors of invalid files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tickwire.errors import InputError
from tickwire.simulation.price_process import PriceProcess
from tickwire.simulation.scenario import ScenarioRunner, parse_duration_s, parse_scenario
from tickwire.simulation.universe import built_in_model

EXAMPLES = Path(__file__).parents[3] / "examples" / "scenarios"
START = 1_767_366_000 * 10**9


class ScenarioComparison:
    """The built-in market with and without a scenario."""

    def __init__(self, name: str, length: float = 90.0) -> None:
        self.plain_ticks = self._play(None, length)
        self.halted: list[tuple[float, str]] = []
        self.resumed: list[tuple[float, str]] = []
        self.ticks = self._play(name, length)

    def _play(self, name: str | None, length: float) -> np.ndarray:
        market = PriceProcess(built_in_model(), np.random.default_rng(4), START)
        runner = None
        if name is not None:
            scenario = parse_scenario((EXAMPLES / f"{name}.toml").read_text(encoding="utf-8"))
            runner = ScenarioRunner(scenario, market.now, np.random.default_rng(5))
        parts = []
        for _ in range(round(length * 5)):
            now = (market.now - START) / 1e9
            stopped = runner.apply_to_market(market, market.next_block_end) if runner else []
            block = market.simulate_block()
            if runner:
                self.halted += [(now, symbol) for symbol in stopped + block.halted_symbols]
                self.resumed += [(now, symbol) for symbol in block.resumed_symbols]
            parts.append(runner.transform_ticks(block.ticks) if runner else block.ticks)
        return np.concatenate(parts)

    def symbol_ticks(self, symbol: str, since: float = 0.0, until: float = 1e9) -> np.ndarray:
        return ticks_between(self.ticks[self.ticks["symbol"] == symbol.encode()], since, until)


def ticks_between(ticks: np.ndarray, since: float, until: float) -> np.ndarray:
    at = (ticks["ts"] - START) / 1e9
    return ticks[(at >= since) & (at < until)]


def test_crash_falls_and_recovers() -> None:
    """Prices fall by 8 % in ten seconds with wide spreads, and recover within a minute."""
    session = ScenarioComparison("crash")
    before, bottom = session.symbol_ticks("AAPL", 0, 10)["last"][-1], session.symbol_ticks("AAPL", 18, 22)["last"].min()
    assert bottom / before == pytest.approx(0.92, abs=0.01)
    assert session.symbol_ticks("AAPL", 82)["last"] == pytest.approx(before, rel=0.01)
    spread = [
        np.median(each["ask"] - each["bid"])
        for each in (session.symbol_ticks("AAPL", 0, 10), session.symbol_ticks("AAPL", 15, 20))
    ]
    assert spread[1] > 3 * spread[0]


def test_halt_stops_and_resumes_trading() -> None:
    """A halted symbol has its next tick when trading resumes. The other symbols never stop."""
    session = ScenarioComparison("halt", 60.0)
    assert session.halted == [(10.0, "AAPL"), (15.0, "BTC-USD"), (15.0, "ETH-USD")]
    assert [(round(at), symbol) for at, symbol in session.resumed] == [(30, "AAPL"), (40, "BTC-USD"), (40, "ETH-USD")]
    assert not len(session.symbol_ticks("AAPL", 10, 30))
    assert not len(session.symbol_ticks("ETH-USD", 15, 40))
    assert len(session.symbol_ticks("AAPL", 30, 30.4))
    assert len(session.symbol_ticks("MSFT", 10, 30)) > 30


def test_burst_multiplies_the_trades() -> None:
    session = ScenarioComparison("burst", 60.0)
    normal = len(ticks_between(session.plain_ticks, 1, 30))
    assert len(ticks_between(session.ticks, 1, 30)) / normal == pytest.approx(20, rel=0.05)
    assert len(ticks_between(session.ticks, 31, 60)) / normal == pytest.approx(1, rel=0.1)


def test_clear_effects_ends_bursts_and_halts() -> None:
    market = PriceProcess(built_in_model(), np.random.default_rng(4), START)
    halt = '[[event]]\nat = "0s"\ndo = "halt"\nsymbols = ["AAPL"]\n'
    burst = '[[event]]\nat = "0s"\ndo = "burst"\ntimes = 20\nlasts = "1h"\n'
    runner = ScenarioRunner(parse_scenario(f'name = "x"\n{halt}{burst}'), market.now, np.random.default_rng(5))
    runner.apply_to_market(market, market.next_block_end)
    busy = [market.simulate_block().ticks for _ in range(25)]
    runner.clear_effects(market)
    normal = [market.simulate_block().ticks for _ in range(25)]
    assert sum(map(len, busy[1:])) > 10 * sum(map(len, normal[1:]))
    assert [b"AAPL" in np.concatenate(ticks)["symbol"] for ticks in (busy, normal)] == [False, True]


def test_muted_symbol_has_no_ticks() -> None:
    """The ticks of the other symbols are the same to the last bit."""
    session = ScenarioComparison("mute", 30.0)
    assert len(session.symbol_ticks("MSFT", 0, 10)) > 10
    assert not len(session.symbol_ticks("MSFT", 10))
    others = session.plain_ticks[session.plain_ticks["symbol"] != b"MSFT"]
    assert repr(session.ticks[session.ticks["symbol"] != b"MSFT"].tolist()) == repr(others.tolist())


def test_dirty_ticks_are_repeated_and_out_of_order() -> None:
    """Apart from repeats and order, the ticks equal the ticks of the market without the scenario."""
    session = ScenarioComparison("dirty", 30.0)
    assert len(session.ticks) / len(session.plain_ticks) == pytest.approx(1.1, abs=0.01)
    assert np.mean(np.diff(session.ticks["ts"]) < 0) > 0.05
    assert set(map(repr, session.ticks.tolist())) == set(map(repr, session.plain_ticks.tolist()))


def test_split_divides_the_price_without_a_halt() -> None:
    """The other prices continue, and the halt rule does not react."""
    session = ScenarioComparison("split", 30.0)
    before, after = session.symbol_ticks("AAPL", 0, 10)["last"][-1], session.symbol_ticks("AAPL", 10)["last"][0]
    assert after / before == pytest.approx(0.25, rel=0.005)
    assert not session.halted
    assert (
        session.symbol_ticks("MSFT", 10)["last"][0] / session.symbol_ticks("MSFT", 0, 10)["last"][-1]
    ) == pytest.approx(1, rel=0.005)


def test_stuck_feed_is_silent_and_continues() -> None:
    """Before and after the silence, the ticks equal the ticks of the market without the scenario."""
    session = ScenarioComparison("stuck", 60.0)
    assert not len(ticks_between(session.ticks, 10, 40))
    rest = np.concatenate([ticks_between(session.plain_ticks, 0, 10), ticks_between(session.plain_ticks, 40, 60)])
    assert repr(session.ticks.tolist()) == repr(rest.tolist())


def test_every_example_has_a_test_and_a_description() -> None:
    names = {path.stem for path in EXAMPLES.glob("*.toml")}
    assert names == {"crash", "halt", "burst", "mute", "dirty", "split", "stuck"}
    for name in names:
        scenario = parse_scenario((EXAMPLES / f"{name}.toml").read_text(encoding="utf-8"))
        assert scenario.about.endswith(".")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name = ", "scenario: Invalid value"),
        ('name = "x"\nevent = []', "scenario: event = []: expected `array` of length >= 1"),
        ('name = "x"\n[[event]]\nat = "1s"\ndo = "boom"', "event[0].do"),
        ('name = "x"\n[[event]]\nat = "1s"\ndo = "crash"', "event[0]: object missing required field `fall`"),
        (
            'name = "x"\n[[event]]\nat = "10"\ndo = "stuck"',
            'event[0].at = "10": expected a duration with its unit',
        ),
        ('name = "x"\n[[event]]\nat = "1s"\ndo = "crash"\nfall = 1.5', "event[0].fall = 1.5: expected"),
        ('name = "x"\n[[event]]\nat = "1s"\ndo = "stuck"\nfor = "1s"', "unknown field `for`"),
    ],
)
def test_invalid_scenario_raises_with_key_and_value(text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_scenario(text)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ('name = "x"\n[[event]]\nat = "1s"\ndo = "crash"\nfal = 0.1', "did you mean fall?"),
        ('name = "x"\n[[event]]\nat = "1s"\ndo = "stuck"\nfor = "1s"', "known: lasts, at, symbols"),
        ('nam = "x"', "did you mean name?"),
    ],
)
def test_unknown_key_raises_with_a_hint(text: str, hint: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_scenario(text)
    assert caught.value.hint == hint


def test_durations_have_units() -> None:
    assert [parse_duration_s(text) for text in ("200ms", "1.5s", "2m", "1h")] == [0.2, 1.5, 120.0, 3600.0]
    with pytest.raises(InputError, match="not a duration"):
        parse_duration_s("2 days")
