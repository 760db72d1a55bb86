"""The simulated market: repeatable, at the asked rate, with the asked volatility, on the price grid."""

from __future__ import annotations

import numpy as np
import pytest

from tickwire.core.instrument import Instrument
from tickwire.feeds.simulator import Simulator
from tickwire.market.board import Board
from tickwire.market.derive import decimals_of
from tickwire.market.universe import universe
from tickwire.market.walk import YEAR, Walk
from tickwire.testing.clock import ManualClock


async def collect(feed: Simulator, clock: ManualClock, batches: int) -> list[np.ndarray]:
    """The feed's first batches; the clock moves whenever the feed waits."""
    found = []
    async for batch in feed.batches():
        found.append(batch.ticks)
        if len(found) == batches:
            break
        clock._passed += 0.02  # what `advance` does, without another task
    return found


def simulator(clock: ManualClock, **options) -> Simulator:
    clock.sleep = _at_once
    return Simulator(universe(), clock, **options)


async def _at_once(_: float) -> None:
    return None


async def test_a_seed_repeats_the_market() -> None:
    """The same seed gives the same prices and sizes; another gives others."""
    runs = []
    for seed in (7, 7, 8):
        clock = ManualClock()
        runs.append(np.concatenate(await collect(simulator(clock, seed=seed), clock, 50)))
    same = runs[0][["symbol", "last", "bid", "ask", "size"]].tolist()
    assert runs[1][["symbol", "last", "bid", "ask", "size"]].tolist() == same
    assert runs[2][["symbol", "last", "bid", "ask", "size"]].tolist() != same


async def test_everybody_has_a_first_price_and_the_rate_is_kept() -> None:
    """The first batch has every symbol; after that each ticks `rate` times a second on average."""
    clock = ManualClock()
    batches = await collect(simulator(clock, seed=1, rate=3.0), clock, 2001)
    assert len(batches[0]) == len(universe())
    rate = sum(map(len, batches[1:])) / (2000 * 0.02) / len(universe())
    assert rate == pytest.approx(3.0, rel=0.05)
    assert all((batch["ts"] == batch["ts"][0]).all() for batch in batches)


async def test_a_simulation_goes_on_from_given_prices() -> None:
    """After a restart prices do not jump back to where they once began."""
    clock = ManualClock()
    (first,) = await collect(simulator(clock, seed=1, start_prices={"AAPL": 1000.0}), clock, 1)
    assert first["last"][first["symbol"] == b"AAPL"][0] == pytest.approx(1000.0, rel=0.01)


def test_prices_lie_on_the_grid_and_the_book_is_never_crossed() -> None:
    """Every price is a multiple of the tick size that prints short; bid < ask; the trade is at one of them."""
    walk = Walk(universe(), np.random.default_rng(3))
    sizes = {each.symbol.encode(): each.tick_size for each in universe()}
    for _ in range(200):
        ticks = walk.step(60.0)
        assert (ticks["bid"] < ticks["ask"]).all()
        assert (ticks["bid"] > 0).all()
        assert ((ticks["last"] == ticks["bid"]) | (ticks["last"] == ticks["ask"])).all()
        for symbol, price in zip(ticks["symbol"].tolist(), ticks["bid"].tolist(), strict=True):
            assert decimals_of(price) <= decimals_of(sizes[symbol])
            assert round(price / sizes[symbol]) * sizes[symbol] == pytest.approx(price, rel=1e-12)


def test_returns_have_the_volatility_and_drift_of_the_formula() -> None:
    """Over many steps the standard deviation of log returns is sigma * sqrt(dt), whatever the step."""
    instruments = [Instrument(symbol=f"S{number}", volatility=0.4, prev_close=1e6) for number in range(2_000)]
    for seconds, steps in ((60.0, 50), (600.0, 5)):
        walk = Walk(instruments, np.random.default_rng(5))
        middle = np.full(2_000, 1e6)
        for _ in range(steps):
            ticks = walk.step(seconds)
            middle = (ticks["bid"] + ticks["ask"]) / 2
        returns = np.log(middle / 1e6)
        assert returns.std() == pytest.approx(0.4 * np.sqrt(seconds * steps / YEAR), rel=0.06)


def test_the_universe_is_plausible() -> None:
    """About a hundred symbols over several exchanges and sectors, all with what a quote derives from."""
    found = universe()
    assert len({each.symbol for each in found}) == len(found) >= 100
    assert len({each.exchange for each in found}) >= 5
    assert len({each.sector for each in found}) >= 10
    for each in found:
        assert each.prev_close > 0
        assert 0 < each.tick_size < each.prev_close
        assert 0.05 < each.volatility < 1.5


def test_a_board_takes_what_the_simulator_makes() -> None:
    """Quotes of a simulated session: open, high, low and volume hold together."""
    board, walk = Board(universe()), Walk(universe(), np.random.default_rng(2))
    sequence = 1
    for step in range(100):
        ticks = walk.step(1.0, 0.5)
        ticks["ts"] = 1_767_366_000_000_000_000 + step * 10**9
        quotes = board.apply(ticks, sequence).quotes()
        sequence += len(ticks)
        for quote in quotes:
            assert quote.low <= quote.last <= quote.high
            assert quote.volume > 0
