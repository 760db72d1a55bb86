"""The simulated market: repeatable at every speed, at the asked rate, on the grid, correlated, in its sessions."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from tickwire.core.codec import encode
from tickwire.errors import InputError
from tickwire.feeds.simulator import Before, Simulator
from tickwire.market.board import Board
from tickwire.market.derive import decimals_of
from tickwire.market.model import Halts, Jumps, Model, Profile, Session, SymbolModel, read_model
from tickwire.market.universe import built_in, universe
from tickwire.market.walk import Walk
from tickwire.testing.clock import ManualClock

NOON = 1_767_366_000 * 10**9  # Friday 2026-01-02, 15:00 UTC
HOUR = 3600 * 10**9
YORK = Session(open="09:30", close="16:00", timezone="America/New_York", overnight=0.2)


def model(count: int = 3, **given: Any) -> Model:
    """Symbols A0, A1, ... of one sector; `given` are keys of the model or of each symbol."""
    of_symbol = {key: given.pop(key) for key in [*given] if key in SymbolModel.__struct_fields__}
    symbols = tuple(SymbolModel(symbol=f"A{number}", **({"price": 100.0} | of_symbol)) for number in range(count))
    return Model(**({"format": 1, "version": "test", "symbols": symbols} | given))


def walk(what: Model, seed: int = 1, start: int = NOON, **given: Any) -> Walk:
    return Walk(what, np.random.default_rng(seed), start, **given)


def ticks_of(what: Walk, blocks: int) -> np.ndarray:
    return np.concatenate([what.block().ticks for _ in range(blocks)])


class Player:
    """Takes a simulator's batches as they come."""

    def __init__(self, clock: ManualClock, **given: Any) -> None:
        self.feed = Simulator(built_in(), clock, **given)
        self.parts: list[np.ndarray] = []
        self.task = asyncio.create_task(self._take())

    async def _take(self) -> None:
        async for batch in self.feed.batches():
            self.parts.append(batch.ticks)

    async def until(self, clock: ManualClock, count: int, seconds: float) -> list[tuple]:
        """The first ticks, however long that takes."""
        await clock.advance(0)
        while sum(map(len, self.parts)) < count:
            await clock.advance(seconds)
        self.task.cancel()
        return np.concatenate(self.parts)[:count].tolist()


@pytest.mark.parametrize("speed", [0.5, 1.0, 20.0, 1000.0, 0.0])
async def test_a_seed_repeats_the_market_at_every_speed(speed: float) -> None:
    """The same ticks to the last bit, times included, at each speed; another seed gives others."""
    runs = []
    for seed, fast in ((7, 1.0), (7, speed), (8, speed)):
        clock = ManualClock()
        runs.append(await Player(clock, seed=seed, speed=fast).until(clock, 1_500, 0.2 / max(fast, 1)))
    assert repr(runs[0]) == repr(runs[1])
    assert repr(runs[2]) != repr(runs[1])


async def test_pauses_and_steps_change_nothing_but_time() -> None:
    """Held, stepped and let go at any moment, the market is the one it would have been."""
    clock = ManualClock()
    plain = await Player(clock, seed=3).until(clock, 1_500, 0.2)
    clock = ManualClock()
    player = Player(clock, seed=3)
    for seconds in (0.31, 1.7, 0.02):
        await clock.advance(seconds)
        player.feed.pace.pause()
        before = len(player.parts)
        await clock.advance(60)
        assert len(player.parts) == before
        player.feed.pace.step(3)
        await clock.advance(1)
        assert len(player.parts) > before
        player.feed.pace.resume()
        await clock.advance(0)
    assert repr(await player.until(clock, 1_500, 0.2)) == repr(plain)


async def test_time_and_prices_go_on_after_a_restart() -> None:
    """From given prices, and never before the newest tick there was."""
    clock = ManualClock()
    newest = clock.now() + HOUR
    first = await Player(clock, seed=1, before=Before({"AAPL": 1000.0}, newest=newest)).until(clock, 107, 0.2)
    prices = {tick[0]: tick[2] for tick in first}
    assert prices[b"AAPL"] == pytest.approx(1000.0, rel=0.01)
    assert min(tick[1] for tick in first) > newest


async def test_market_time_begins_where_it_is_told() -> None:
    """Two runs with a seed and a start are the same to the last bit, whenever they run; with a past they go on."""
    runs = []
    for hours in (0, 5):
        clock = ManualClock()
        await clock.advance(hours * 3600)
        runs.append(await Player(clock, seed=7, start=NOON).until(clock, 500, 0.2))
    assert repr(runs[0]) == repr(runs[1])
    assert runs[0][0][1] == NOON
    clock = ManualClock()
    later = await Player(clock, seed=7, start=NOON, before=Before(newest=NOON + HOUR)).until(clock, 107, 0.2)
    assert later[0][1] == NOON + HOUR + 1


def test_everybody_has_a_first_price_and_the_rate_is_kept() -> None:
    """The first step has every symbol; after that each ticks `rate` times a second on average."""
    market = walk(built_in(), rate=3.0)
    first = market.block().ticks
    assert len(set(first["symbol"][first["ts"] == first["ts"].min()].tolist())) == len(universe())
    assert len(ticks_of(market, 1_000)) / 200 / len(universe()) == pytest.approx(3.0, rel=0.05)


def test_prices_lie_on_the_grid_and_the_book_is_never_crossed() -> None:
    """Every price is a multiple of the tick size that prints short; bid < ask; the trade is at one of them."""
    ticks = ticks_of(walk(built_in(), step=60 * 10**9, rate=0.05), 20)
    sizes = {each.symbol.encode(): each.tick_size for each in universe()}
    assert (ticks["bid"] < ticks["ask"]).all()
    assert (ticks["bid"] > 0).all()
    assert ((ticks["last"] == ticks["bid"]) | (ticks["last"] == ticks["ask"])).all()
    assert (np.diff(ticks["ts"]) >= 0).all()
    for symbol, price in zip(ticks["symbol"][::97].tolist(), ticks["bid"][::97].tolist(), strict=True):
        assert decimals_of(price) <= decimals_of(sizes[symbol])
        assert round(price / sizes[symbol]) * sizes[symbol] == pytest.approx(price, rel=1e-12)


def test_a_penny_share_stays_above_zero() -> None:
    """A price near the end of its grid has a bid of one step at least, whatever it would do."""
    ticks = ticks_of(walk(model(price=0.02, volatility=5.0), step=HOUR // 10, rate=0.005), 200)
    assert ticks["bid"].min() == 0.01
    assert (ticks["ask"] > ticks["bid"]).all()


def closes_of(market: Walk, days: int) -> np.ndarray:
    """The log of each symbol's last price in each block, shape (days, symbols)."""
    rows = []
    for _ in range(days):
        ticks = market.block().ticks[::-1]
        symbols, places = np.unique(ticks["symbol"], return_index=True)
        assert len(symbols) == len(market)
        rows.append(np.log(ticks["last"][places]))
    return np.array(rows)


@pytest.mark.parametrize(
    ("session", "days", "steps", "rate"), [(YORK, 252, (HOUR // 2, 13), 1e-6), (None, 365, (HOUR // 2, 48), 2e-3)]
)
def test_a_year_has_the_volatility_and_the_correlation_of_the_model(
    session: Session | None, days: int, steps: tuple[int, int], rate: float
) -> None:
    """In open hours or round the clock: volatility as said, jumps included; correlation market² + sector² without."""
    jumps = Jumps(per_year=50, mean=-0.005, deviation=0.02)
    what = model(
        40, volatility=0.4, market=0.6, sector_loading=0.5, sector="x", price=1e6, jumps=jumps, session=session
    )
    start = NOON - 30 * 60 * 10**9 if session else NOON - 15 * HOUR
    returns = np.diff(closes_of(walk(what, 5, start, rate=rate, step=steps[0], steps=steps[1]), days + 1), axis=0)
    volatility = returns.std(axis=0).mean() * np.sqrt(days)
    correlation = (np.corrcoef(returns.T).sum() - 40) / (40 * 39)
    assert volatility == pytest.approx(0.4, rel=0.05)
    assert correlation == pytest.approx(0.61 * (1 - jumps.variance / 0.16), abs=0.05)


def test_a_year_has_the_drift_of_the_model() -> None:
    """The mean log return over many independent symbols, with jumps that lean to one side."""
    jumps = Jumps(per_year=50, mean=-0.005, deviation=0.02)
    what = model(1_000, market=0, sector_loading=0, drift=0.3, price=1e6, jumps=jumps, session=YORK)
    closes = closes_of(walk(what, start=NOON - 30 * 60 * 10**9, rate=1e-6, step=HOUR // 2, steps=13), 253)
    assert (closes[-1] - closes[0]).mean() == pytest.approx(0.3, abs=4 * 0.25 / np.sqrt(1_000))


def test_nights_are_left_out() -> None:
    """After Friday's close comes Monday's open, with a large trade of every symbol in both."""
    market = walk(model(session=YORK, auction=50.0), rate=1e-4, step=60 * 10**9)
    ticks = ticks_of(market, 60)
    days = np.unique(ticks["ts"] // (24 * HOUR))
    assert days.tolist() == [NOON // (24 * HOUR), NOON // (24 * HOUR) + 3]
    hours = ticks["ts"] % (24 * HOUR) / HOUR
    assert hours.min() >= 14.5
    assert hours.max() == 21.0
    closing, opening = ticks[hours == 21.0], ticks[(hours == 14.5) & (ticks["ts"] > NOON)]
    assert len(closing) == len(opening) == 3
    assert np.median(np.append(closing["size"], opening["size"])) > 1_000  # the median trade is of two lots of 100


def test_the_day_has_a_shape() -> None:
    """More trades, larger moves and wider spreads where the profile says so."""
    shape = Profile(volume=(4, 1, 1, 2), volatility=(3, 1, 1, 1))
    what = model(200, session=YORK, profile=shape, market=0.0, sector_loading=0.0, price=10_000.0)
    market = walk(what, start=NOON - HOUR, rate=0.002, step=15 * 10**9, steps=26)
    ticks = ticks_of(market, 60)
    place = (ticks["ts"] % (24 * HOUR) / HOUR - 14.5) / 6.5
    parts = [ticks[(place > low) & (place < low + 0.25)] for low in (0, 0.25, 0.5, 0.75)]
    counts = np.array([len(part) for part in parts])
    assert counts / counts[1] == pytest.approx([4, 1, 1, 2], rel=0.15)
    spreads = [np.median(part["ask"] - part["bid"]) for part in parts]
    assert spreads[0] / spreads[1] == pytest.approx(3, rel=0.1)


def test_a_symbol_that_moves_too_far_is_halted_and_resumes() -> None:
    """No ticks while it is halted, one with the reopening; the others trade on."""
    market = walk(model(halts=Halts(move=0.05, seconds=10.0)), rate=20.0)
    market.block()
    market.move(np.array([True, False, False]), 0.2)
    first = market.block()
    assert first.halted == ["A0"]
    blocks = [market.block() for _ in range(51)]
    silent, last = blocks[:-1], blocks[-1]
    assert all(b"A0" not in block.ticks["symbol"] for block in silent if not block.resumed)
    assert any(block.resumed == ["A0"] for block in blocks)
    assert b"A1" in np.concatenate([block.ticks["symbol"] for block in blocks])
    assert not any(block.halted for block in blocks)
    assert last.end > first.end


def test_spreads_widen_after_a_jump_and_come_back() -> None:
    """Ten times at least right after it, nearly normal some minutes later."""
    market = walk(model(spread=0.001), rate=50.0)
    jumped = np.array([True, False, False])

    def spread() -> float:
        ticks = market.block().ticks
        ticks = ticks[ticks["symbol"] == b"A0"]
        return float(np.median((ticks["ask"] - ticks["bid"]) / ticks["last"]))

    market.block()
    usual = spread()
    market.move(jumped, 0.3)
    assert spread() > 10 * usual
    for _ in range(5 * 60 * 5):
        market.block()
    assert spread() < 1.5 * usual


def test_another_model_takes_over_without_a_seam() -> None:
    """Prices move on by no more than a step's volatility; gone symbols fall silent, new ones start at their price."""
    market = walk(model(50, jumps=None), rate=30.0)
    before = ticks_of(market, 50)
    calm = model(60, volatility=0.01, market=-0.3, sector="other", version="calm")
    gone = msgspec.structs.replace(calm, symbols=calm.symbols[10:])
    market = market.adopt(gone)
    after = market.block().ticks
    newest = {tick["symbol"]: tick["last"] for tick in before}
    for tick in after[:200]:
        if tick["symbol"] in newest:
            assert tick["last"] == pytest.approx(newest[tick["symbol"]], abs=0.06)
        else:
            assert tick["last"] == pytest.approx(100.0, abs=0.06)
    named = set(ticks_of(market, 20)["symbol"].tolist())
    assert named == {f"A{number}".encode() for number in range(10, 60)}
    assert after["ts"].min() > before["ts"].max()


async def test_the_feed_swaps_between_two_blocks() -> None:
    """The new model is in use a fifth of a second later, and nobody's price jumps."""
    clock = ManualClock()
    player = Player(clock, seed=1)
    await clock.advance(3)
    calm = [msgspec.structs.replace(each, volatility=0.001, jumps=None) for each in built_in().symbols]
    player.feed.swap(msgspec.structs.replace(built_in(), symbols=tuple(calm)))
    await clock.advance(3)
    player.task.cancel()
    ticks = np.concatenate(player.parts)
    for symbol in (b"AAPL", b"BTC-USD"):
        prices = ticks["last"][ticks["symbol"] == symbol]
        assert np.abs(np.diff(np.log(prices))).max() < 0.002


def test_an_unknown_key_of_a_symbol_is_told_what_was_meant() -> None:
    """And a symbol that cannot be one is described in words."""
    for symbol, says, hint in (
        (A | {"volatilty": 0.1}, "symbols[0]: object contains unknown field `volatilty`", "did you mean volatility?"),
        (A | {"symbol": "A B"}, 'symbols[0].symbol = "A B": expected a symbol: 1 to 16 ASCII letters', None),
    ):
        with pytest.raises(InputError) as caught:
            read_model(encode({"format": 1, "version": "x", "symbols": [symbol]}))
        assert (says in str(caught.value), caught.value.hint) == (True, hint)


def test_a_board_takes_what_the_simulator_makes() -> None:
    """Quotes of a simulated session: open, high, low and volume hold together."""
    board, market = Board(universe()), walk(built_in(), step=10**9, rate=0.5)
    sequence = 1
    for _ in range(10):
        ticks = market.block().ticks
        quotes = board.apply(ticks, sequence).quotes()
        sequence += len(ticks)
        for quote in quotes:
            assert quote.low <= quote.last <= quote.high
            assert quote.volume > 0


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
    assert read_model(encode(built_in())) == built_in()


def test_the_shipped_model_is_one() -> None:
    """And uses what a model can say."""
    shipped = read_model((Path(__file__).parents[2] / "examples" / "models" / "us-session.json").read_bytes())
    assert shipped.session
    assert shipped.halts
    assert len(shipped.profile.volume) == 13
    assert len(ticks_of(walk(shipped), 20))


A = {"symbol": "A", "price": 1}
WRONG = [
    ({"format": 2}, "format", "model: format = 2: this version of Tickwire reads format 1"),
    ({"version": ""}, "version", 'model: version = "": expected `str` of length >= 1'),
    ({"symbols": []}, "symbols", "model: symbols = []: expected `array` of length >= 1"),
    ({"colour": 1}, "model", "model: object contains unknown field `colour`"),
    ({"symbols": [A, A]}, "symbols[1].symbol", 'model: symbols[1].symbol = "A": is there twice'),
    ({"symbols": [A | {"volatility": -0.1}]}, "symbols[0].volatility", "symbols[0].volatility = -0.1: expected"),
    ({"symbols": [A | {"volatility": "high"}]}, "symbols[0].volatility", 'symbols[0].volatility = "high": expected'),
    ({"symbols": [A | {"price": 0}]}, "symbols[0].price", "symbols[0].price = 0: expected"),
    ({"symbols": [{"symbol": "A"}]}, "symbols[0]", "symbols[0]: object missing required field `price`"),
    ({"symbols": [A | {"vol": 1}]}, "symbols[0]", "symbols[0]: object contains unknown field `vol`"),
    (
        {"symbols": [A | {"market": 0.9, "sector_loading": 0.9}]},
        "symbols[0].sector_loading",
        "sector_loading = 0.9: together with market = 0.9 explains more than everything",
    ),
    ({"symbols": [A | {"tick_size": 2}]}, "symbols[0].tick_size", "tick_size = 2.0: is larger than the price, 1"),
    (
        {"symbols": [A | {"volatility": 0.1, "jumps": {"per_year": 100, "deviation": 0.02}}]},
        "symbols[0].volatility",
        "volatility = 0.1: must be more than what its jumps alone make, 0.2",
    ),
    ({"profile": {"volume": [1, 0]}}, "profile.volume[1]", "profile.volume[1] = 0: expected"),
    ({"session": {"open": "9:30", "close": "16:00"}}, "session.open", 'session.open = "9:30": expected'),
    ({"session": {"open": "09:30", "close": "09:30"}}, "session.close", "must be later in the day than open, 09:30"),
    (
        {"session": {"open": "09:30", "close": "16:00", "timezone": "Mars/Olympus"}},
        "session.timezone",
        'session.timezone = "Mars/Olympus": is no time zone this machine knows',
    ),
]


@pytest.mark.parametrize(("change", "field", "says"), WRONG)
def test_a_wrong_model_is_told_by_key_and_value(change: dict[str, Any], field: str, says: str) -> None:
    """Which key, what stands there, and what should."""
    with pytest.raises(InputError) as caught:
        read_model(encode({"format": 1, "version": "x", "symbols": [A]} | change))
    assert says in str(caught.value)
    assert caught.value.field == field


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"\xff", b"null"])
def test_what_is_no_model_at_all_is_refused(text: bytes) -> None:
    """Not JSON, or JSON of something else."""
    with pytest.raises(InputError, match="model"):
        read_model(text)
