"""The price process: rate, price grid, correlation, sessions, halts and a change of the model."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from tickwire.market.board import Board
from tickwire.market.derived_fields import count_decimals
from tickwire.simulation.model import HaltRule, IntradayProfile, Jumps, MarketModel, SymbolModel, TradingHours
from tickwire.simulation.price_process import PriceProcess
from tickwire.simulation.universe import built_in_instruments, built_in_model

NOON = 1_767_366_000 * 10**9  # Friday 2026-01-02, 15:00 UTC
HOUR = 3600 * 10**9
NEW_YORK = TradingHours(open="09:30", close="16:00", timezone="America/New_York", overnight=0.2)


def make_model(count: int = 3, **overrides: Any) -> MarketModel:
    """Return a model of the symbols A0, A1, ... in one sector. `overrides` are keys of the model or of each symbol."""
    symbol_overrides = {key: overrides.pop(key) for key in [*overrides] if key in SymbolModel.__struct_fields__}
    symbols = tuple(
        SymbolModel(symbol=f"A{number}", **({"price": 100.0} | symbol_overrides)) for number in range(count)
    )
    return MarketModel(**({"format": 1, "version": "test", "symbols": symbols} | overrides))


def new_price_process(model: MarketModel, seed: int = 1, start: int = NOON, **options: Any) -> PriceProcess:
    return PriceProcess(model, np.random.default_rng(seed), start, **options)


def simulate_blocks(process: PriceProcess, count: int) -> np.ndarray:
    return np.concatenate([process.simulate_block().ticks for _ in range(count)])


def test_every_symbol_ticks_first_and_then_at_the_trade_rate() -> None:
    market = new_price_process(built_in_model(), trades_per_second=3.0)
    first = market.simulate_block().ticks
    assert len(set(first["symbol"][first["ts"] == first["ts"].min()].tolist())) == len(built_in_instruments())
    assert len(simulate_blocks(market, 1_000)) / 200 / len(built_in_instruments()) == pytest.approx(3.0, rel=0.05)


def test_prices_are_on_the_grid_and_the_book_is_never_crossed() -> None:
    """Prices are the doubles with the shortest text, and each trade is at the bid or at the ask."""
    ticks = simulate_blocks(new_price_process(built_in_model(), step_ns=60 * 10**9, trades_per_second=0.05), 20)
    sizes = {each.symbol.encode(): each.tick_size for each in built_in_instruments()}
    assert (ticks["bid"] < ticks["ask"]).all()
    assert (ticks["bid"] > 0).all()
    assert ((ticks["last"] == ticks["bid"]) | (ticks["last"] == ticks["ask"])).all()
    assert (np.diff(ticks["ts"]) >= 0).all()
    for symbol, price in zip(ticks["symbol"][::97].tolist(), ticks["bid"][::97].tolist(), strict=True):
        assert count_decimals(price) <= count_decimals(sizes[symbol])
        assert round(price / sizes[symbol]) * sizes[symbol] == pytest.approx(price, rel=1e-12)


def test_penny_share_stays_above_zero() -> None:
    """The bid is at least one step of the grid."""
    ticks = simulate_blocks(
        new_price_process(make_model(price=0.02, volatility=5.0), step_ns=HOUR // 10, trades_per_second=0.005), 200
    )
    assert ticks["bid"].min() == 0.01
    assert (ticks["ask"] > ticks["bid"]).all()


def closing_log_prices(market: PriceProcess, days: int) -> np.ndarray:
    """Return the log of each symbol's last price in each block, of shape (days, symbols)."""
    rows = []
    for _ in range(days):
        ticks = market.simulate_block().ticks[::-1]
        symbols, indices = np.unique(ticks["symbol"], return_index=True)
        assert len(symbols) == len(market)
        rows.append(np.log(ticks["last"][indices]))
    return np.array(rows)


@pytest.mark.parametrize(
    ("session", "days", "steps", "rate"), [(NEW_YORK, 252, (HOUR // 2, 13), 1e-6), (None, 365, (HOUR // 2, 48), 2e-3)]
)
def test_year_has_the_volatility_and_correlation_of_the_model(
    session: TradingHours | None, days: int, steps: tuple[int, int], rate: float
) -> None:
    """Jumps count in the volatility, but not in the correlation."""
    jumps = Jumps(per_year=50, mean=-0.005, deviation=0.02)
    model = make_model(
        40, volatility=0.4, market=0.6, sector_loading=0.5, sector="x", price=1e6, jumps=jumps, session=session
    )
    start = NOON - 30 * 60 * 10**9 if session else NOON - 15 * HOUR
    returns = np.diff(
        closing_log_prices(
            new_price_process(model, 5, start, trades_per_second=rate, step_ns=steps[0], steps_per_block=steps[1]),
            days + 1,
        ),
        axis=0,
    )
    volatility = returns.std(axis=0).mean() * np.sqrt(days)
    correlation = (np.corrcoef(returns.T).sum() - 40) / (40 * 39)
    assert volatility == pytest.approx(0.4, rel=0.05)
    assert correlation == pytest.approx(0.61 * (1 - jumps.variance / 0.16), abs=0.05)


def test_year_has_the_drift_of_the_model() -> None:
    """The mean over many independent symbols includes jumps with a mean below 0."""
    jumps = Jumps(per_year=50, mean=-0.005, deviation=0.02)
    model = make_model(1_000, market=0, sector_loading=0, drift=0.3, price=1e6, jumps=jumps, session=NEW_YORK)
    closes = closing_log_prices(
        new_price_process(
            model, start=NOON - 30 * 60 * 10**9, trades_per_second=1e-6, step_ns=HOUR // 2, steps_per_block=13
        ),
        253,
    )
    assert (closes[-1] - closes[0]).mean() == pytest.approx(0.3, abs=4 * 0.25 / np.sqrt(1_000))


def test_nights_have_no_ticks() -> None:
    """Every symbol has a large trade at the close and at the next open."""
    market = new_price_process(make_model(session=NEW_YORK, auction=50.0), trades_per_second=1e-4, step_ns=60 * 10**9)
    ticks = simulate_blocks(market, 60)
    days = np.unique(ticks["ts"] // (24 * HOUR))
    assert days.tolist() == [NOON // (24 * HOUR), NOON // (24 * HOUR) + 3]
    hours = ticks["ts"] % (24 * HOUR) / HOUR
    assert hours.min() >= 14.5
    assert hours.max() == 21.0
    closing, opening = ticks[hours == 21.0], ticks[(hours == 14.5) & (ticks["ts"] > NOON)]
    assert len(closing) == len(opening) == 3
    assert np.median(np.append(closing["size"], opening["size"])) > 1_000


def test_intraday_profile_sets_volume_moves_and_spreads() -> None:
    profile = IntradayProfile(volume=(4, 1, 1, 2), volatility=(3, 1, 1, 1))
    model = make_model(200, session=NEW_YORK, profile=profile, market=0.0, sector_loading=0.0, price=10_000.0)
    market = new_price_process(
        model, start=NOON - HOUR, trades_per_second=0.002, step_ns=15 * 10**9, steps_per_block=26
    )
    ticks = simulate_blocks(market, 60)
    position = (ticks["ts"] % (24 * HOUR) / HOUR - 14.5) / 6.5
    parts = [ticks[(position > low) & (position < low + 0.25)] for low in (0, 0.25, 0.5, 0.75)]
    counts = np.array([len(part) for part in parts])
    assert counts / counts[1] == pytest.approx([4, 1, 1, 2], rel=0.15)
    spreads = [np.median(part["ask"] - part["bid"]) for part in parts]
    assert spreads[0] / spreads[1] == pytest.approx(3, rel=0.1)


def test_halt_rule_halts_and_resumes_a_symbol() -> None:
    """A halted symbol has no ticks until trading resumes. The other symbols continue to trade."""
    market = new_price_process(make_model(halts=HaltRule(move=0.05, seconds=10.0)), trades_per_second=20.0)
    market.simulate_block()
    market.shift_log_prices(np.array([True, False, False]), 0.2)
    first = market.simulate_block()
    assert first.halted_symbols == ["A0"]
    blocks = [market.simulate_block() for _ in range(51)]
    silent, last = blocks[:-1], blocks[-1]
    assert all(b"A0" not in block.ticks["symbol"] for block in silent if not block.resumed_symbols)
    assert any(block.resumed_symbols == ["A0"] for block in blocks)
    assert b"A1" in np.concatenate([block.ticks["symbol"] for block in blocks])
    assert not any(block.halted_symbols for block in blocks)
    assert last.end_ts > first.end_ts


def test_spreads_widen_after_a_jump_and_return_to_normal() -> None:
    """The spreads are at least ten times as wide after the jump, and nearly normal a few minutes later."""
    market = new_price_process(make_model(spread=0.001), trades_per_second=50.0)
    jumped = np.array([True, False, False])

    def spread() -> float:
        ticks = market.simulate_block().ticks
        ticks = ticks[ticks["symbol"] == b"A0"]
        return float(np.median((ticks["ask"] - ticks["bid"]) / ticks["last"]))

    market.simulate_block()
    usual = spread()
    market.shift_log_prices(jumped, 0.3)
    assert spread() > 10 * usual
    for _ in range(5 * 60 * 5):
        market.simulate_block()
    assert spread() < 1.5 * usual


def test_changed_model_continues_the_prices() -> None:
    """Removed symbols stop, and new symbols start at the price in the model."""
    market = new_price_process(make_model(50, jumps=None), trades_per_second=30.0)
    before = simulate_blocks(market, 50)
    calm = make_model(60, volatility=0.01, market=-0.3, sector="other", version="calm")
    without_ten = msgspec.structs.replace(calm, symbols=calm.symbols[10:])
    market = market.with_model(without_ten)
    after = market.simulate_block().ticks
    newest = {tick["symbol"]: tick["last"] for tick in before}
    for tick in after[:200]:
        if tick["symbol"] in newest:
            assert tick["last"] == pytest.approx(newest[tick["symbol"]], abs=0.06)
        else:
            assert tick["last"] == pytest.approx(100.0, abs=0.06)
    named = set(simulate_blocks(market, 20)["symbol"].tolist())
    assert named == {f"A{number}".encode() for number in range(10, 60)}
    assert after["ts"].min() > before["ts"].max()


def test_quotes_of_simulated_ticks_are_consistent() -> None:
    board, market = (
        Board(built_in_instruments()),
        new_price_process(built_in_model(), step_ns=10**9, trades_per_second=0.5),
    )
    sequence = 1
    for _ in range(10):
        ticks = market.simulate_block().ticks
        quotes = board.apply(ticks, sequence).to_quotes()
        sequence += len(ticks)
        for quote in quotes:
            assert quote.low <= quote.last <= quote.high
            assert quote.volume > 0
