"""Scenarios: what each of the shipped ones does to a market, and what is wrong with a wrong one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tickwire.errors import InputError
from tickwire.feeds.simulator import Simulator
from tickwire.market.scenario import Script, read_scenario, seconds
from tickwire.market.universe import built_in
from tickwire.market.walk import Walk
from tickwire.testing import ManualClock

EXAMPLES = Path(__file__).parents[2] / "examples" / "scenarios"
START = 1_767_366_000 * 10**9


class Session:
    """A minute and a half of the built-in market, with a scenario and without."""

    def __init__(self, name: str, length: float = 90.0) -> None:
        self.plain = self._play(None, length)
        self.halted: list[tuple[float, str]] = []
        self.resumed: list[tuple[float, str]] = []
        self.ticks = self._play(name, length)

    def _play(self, name: str | None, length: float) -> np.ndarray:
        walk = Walk(built_in(), np.random.default_rng(4), START)
        script = None
        if name is not None:
            scenario = read_scenario((EXAMPLES / f"{name}.toml").read_text(encoding="utf-8"))
            script = Script(scenario, walk.now, np.random.default_rng(5))
        found = []
        for _ in range(round(length * 5)):
            now = (walk.now - START) / 1e9
            stopped = script.drive(walk, walk.ahead) if script else []
            block = walk.block()
            if script:
                self.halted += [(now, symbol) for symbol in stopped + block.halted]
                self.resumed += [(now, symbol) for symbol in block.resumed]
            found.append(script.alter(block.ticks) if script else block.ticks)
        return np.concatenate(found)

    def of(self, symbol: str, since: float = 0.0, until: float = 1e9) -> np.ndarray:
        """One symbol's ticks in a part of the session."""
        return part(self.ticks[self.ticks["symbol"] == symbol.encode()], since, until)


def part(ticks: np.ndarray, since: float, until: float) -> np.ndarray:
    at = (ticks["ts"] - START) / 1e9
    return ticks[(at >= since) & (at < until)]


def test_a_crash_falls_and_comes_back() -> None:
    """By 8 % in ten seconds, with spreads several times as wide, and back within a minute."""
    session = Session("crash")
    before, bottom = session.of("AAPL", 0, 10)["last"][-1], session.of("AAPL", 18, 22)["last"].min()
    assert bottom / before == pytest.approx(0.92, abs=0.01)
    assert session.of("AAPL", 82)["last"] == pytest.approx(before, rel=0.01)
    spread = [np.median(each["ask"] - each["bid"]) for each in (session.of("AAPL", 0, 10), session.of("AAPL", 15, 20))]
    assert spread[1] > 3 * spread[0]


def test_a_halt_stops_and_resumes() -> None:
    """No tick in between; the first after it comes with the resume; the others never stop."""
    session = Session("halt", 60.0)
    assert session.halted == [(10.0, "AAPL"), (15.0, "BTC-USD"), (15.0, "ETH-USD")]
    assert [(round(at), symbol) for at, symbol in session.resumed] == [(30, "AAPL"), (40, "BTC-USD"), (40, "ETH-USD")]
    assert not len(session.of("AAPL", 10, 30))
    assert not len(session.of("ETH-USD", 15, 40))
    assert len(session.of("AAPL", 30, 30.4))
    assert len(session.of("MSFT", 10, 30)) > 30


def test_a_burst_is_twenty_times_as_busy() -> None:
    """For thirty seconds, and then as ever."""
    session = Session("burst", 60.0)
    usual = len(part(session.plain, 1, 30))
    assert len(part(session.ticks, 1, 30)) / usual == pytest.approx(20, rel=0.05)
    assert len(part(session.ticks, 31, 60)) / usual == pytest.approx(1, rel=0.1)


def test_a_scenario_that_ends_lets_go_of_what_it_holds() -> None:
    """A burst is over, and whoever was halted trades again."""
    walk = Walk(built_in(), np.random.default_rng(4), START)
    halt = '[[event]]\nat = "0s"\ndo = "halt"\nsymbols = ["AAPL"]\n'
    burst = '[[event]]\nat = "0s"\ndo = "burst"\ntimes = 20\nlasts = "1h"\n'
    script = Script(read_scenario(f'name = "x"\n{halt}{burst}'), walk.now, np.random.default_rng(5))
    script.drive(walk, walk.ahead)
    busy = [walk.block().ticks for _ in range(25)]
    script.end(walk)
    usual = [walk.block().ticks for _ in range(25)]
    assert sum(map(len, busy[1:])) > 10 * sum(map(len, usual[1:]))
    assert [b"AAPL" in np.concatenate(ticks)["symbol"] for ticks in (busy, usual)] == [False, True]


def test_a_mute_symbol_says_nothing_while_others_do() -> None:
    """From the tenth second on; nothing else has changed, to the last bit."""
    session = Session("mute", 30.0)
    assert len(session.of("MSFT", 0, 10)) > 10
    assert not len(session.of("MSFT", 10))
    others = session.plain[session.plain["symbol"] != b"MSFT"]
    assert repr(session.ticks[session.ticks["symbol"] != b"MSFT"].tolist()) == repr(others.tolist())


def test_dirty_ticks_come_twice_and_out_of_order() -> None:
    """One in ten twice, many late; put in order and told apart they are those of the clean market."""
    session = Session("dirty", 30.0)
    assert len(session.ticks) / len(session.plain) == pytest.approx(1.1, abs=0.01)
    assert np.mean(np.diff(session.ticks["ts"]) < 0) > 0.05
    assert set(map(repr, session.ticks.tolist())) == set(map(repr, session.plain.tolist()))


def test_a_split_quarters_the_price_and_halts_nobody() -> None:
    """Between two ticks; the others go on, and no rule takes it for a fall."""
    session = Session("split", 30.0)
    before, after = session.of("AAPL", 0, 10)["last"][-1], session.of("AAPL", 10)["last"][0]
    assert after / before == pytest.approx(0.25, rel=0.005)
    assert not session.halted
    assert (session.of("MSFT", 10)["last"][0] / session.of("MSFT", 0, 10)["last"][-1]) == pytest.approx(1, rel=0.005)


def test_a_stuck_feed_is_silent_and_goes_on() -> None:
    """Nothing at all for thirty seconds; before and after as if nothing had been."""
    session = Session("stuck", 60.0)
    assert not len(part(session.ticks, 10, 40))
    rest = np.concatenate([part(session.plain, 0, 10), part(session.plain, 40, 60)])
    assert repr(session.ticks.tolist()) == repr(rest.tolist())


def test_every_shipped_scenario_is_tested_and_described() -> None:
    """None lies about untried; each says what it is about."""
    names = {path.stem for path in EXAMPLES.glob("*.toml")}
    assert names == {"crash", "halt", "burst", "mute", "dirty", "split", "stuck"}
    for name in names:
        scenario = read_scenario((EXAMPLES / f"{name}.toml").read_text(encoding="utf-8"))
        assert scenario.about.endswith(".")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("name = ", "scenario: Invalid value"),
        ('name = "x"\nevent = []', "scenario: event = []: expected `array` of length >= 1"),
        ('name = "x"\n[[event]]\nat = "1s"\ndo = "boom"', "event[0].do"),
        ('name = "x"\n[[event]]\nat = "1s"\ndo = "crash"', "event[0]: object missing required field `fall`"),
        (
            'name = "x"\n[[event]]\nat = "10"\ndo = "stuck"',
            'event[0].at = "10": expected a length of time with its unit',
        ),
        ('name = "x"\n[[event]]\nat = "1s"\ndo = "crash"\nfall = 1.5', "event[0].fall = 1.5: expected"),
        ('name = "x"\n[[event]]\nat = "1s"\ndo = "stuck"\nfor = "1s"', "unknown field `for`"),
    ],
)
def test_a_wrong_scenario_is_told(text: str, says: str) -> None:
    """By key and value, as a wrong model is."""
    with pytest.raises(InputError) as caught:
        read_scenario(text)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ('name = "x"\n[[event]]\nat = "1s"\ndo = "crash"\nfal = 0.1', "did you mean fall?"),
        ('name = "x"\n[[event]]\nat = "1s"\ndo = "stuck"\nfor = "1s"', "known: lasts, at, symbols"),
        ('nam = "x"', "did you mean name?"),
    ],
)
def test_an_unknown_key_is_told_what_was_probably_meant(text: str, hint: str) -> None:
    """Of those that there are at that place."""
    with pytest.raises(InputError) as caught:
        read_scenario(text)
    assert caught.value.hint == hint


def test_symbols_that_are_none_of_the_market_are_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    """A script about nobody does nothing, and says so."""
    text = 'name = "x"\n[[event]]\nat = "1s"\ndo = "halt"\nsymbols = ["APPL", "BTC-*", "ZZ*"]'
    Simulator(built_in(), ManualClock(), scenario=read_scenario(text))
    assert caplog.messages == ["the scenario x names what is no symbol of this market: APPL, ZZ*"]


def test_durations() -> None:
    """Milliseconds to hours, with decimals."""
    assert [seconds(text) for text in ("200ms", "1.5s", "2m", "1h")] == [0.2, 1.5, 120.0, 3600.0]
    with pytest.raises(InputError, match="no duration"):
        seconds("2 days")
