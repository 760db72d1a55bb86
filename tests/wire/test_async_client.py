"""The asynchronous client against real servers: quotes, candles, screens, boards, history, publishing, control."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import polars
import pytest

import tickwire
from tickwire.client.screen import ScreenChange
from tickwire.errors import BatchRowError, ClientError, FilterError, InputError
from tickwire.testing import RunningServer, run_server, wait_until
from tickwire.testing.tokens import TEST_SECRET, sign_token

T0 = 1_767_366_000_000_000
MINUTE = 60_000_000


@pytest.fixture
async def server() -> AsyncIterator[RunningServer]:
    async with run_server() as running:
        yield running


@pytest.fixture
async def client(server: RunningServer) -> AsyncIterator[tickwire.AsyncClient]:
    async with tickwire.AsyncClient(server.url) as opened:
        yield opened


def reset_connections(server: RunningServer) -> None:
    """Reset the connection of every stream, as a failing network does."""
    for reader in server.runtime.hub.roster.channels:
        reader.sink._transport.abort()


async def test_quotes_and_newest_quotes(client: tickwire.AsyncClient) -> None:
    await client.publish([{"symbol": "A", "last": 1.5}, {"symbol": "B", "last": 2.5}])
    assert {symbol: quote.last for symbol, quote in (await client.read_quotes()).items()} == {"A": 1.5, "B": 2.5}
    assert [*await client.read_quotes("B")] == ["B"]
    async for quote in client.quotes(["B"], fields="last"):
        assert quote == tickwire.Quote("B", last=2.5)
        break


async def test_newest_quotes_of_many_symbols_take_several_requests(client: tickwire.AsyncClient) -> None:
    names = [f"LONG.NAME{number}" for number in range(900)]
    await client.publish([{"symbol": name, "last": 1} for name in names])
    assert [*await client.read_quotes(names)] == names


async def test_candles_yield_open_and_closed_candles(client: tickwire.AsyncClient) -> None:
    every, closed = client.candles("A", "1m"), client.candles("A", "1m", closed_only=True)
    async with every, closed:
        await client.publish({"symbol": "A", "ts": T0, "last": 1.0, "size": 1})
        first = await anext(every)
        assert (first.open, first.closed) == (1.0, False)
        reading = asyncio.create_task(anext(closed))
        await wait_until(lambda: closed.stream.state == "live")
        await client.publish({"symbol": "A", "ts": T0 + MINUTE, "last": 2.0, "size": 1})
        candle = await reading
        assert (candle.start, candle.close, candle.closed) == (T0, 1.0, True)


async def test_screen_keeps_the_matching_set(server: RunningServer, client: tickwire.AsyncClient) -> None:
    """Each `enter` has a quote. After a reconnect, the iteration yields only the differences."""
    await client.publish([{"symbol": "A", "last": 10}, {"symbol": "B", "last": 1}])
    async with client.screen("last > 5") as screen:
        assert summarize(await anext(screen)) == ("enter", "A", 10)
        await client.publish({"symbol": "A", "last": 11})
        assert summarize(await anext(screen)) == ("quote", "A", 11)
        await client.publish({"symbol": "B", "last": 6})
        assert summarize(await anext(screen)) == ("enter", "B", 6)
        assert (screen.symbols, {*screen.quotes}) == ({"A", "B"}, {"A", "B"})
        reset_connections(server)
        await wait_until(lambda: not server.runtime.hub.roster.channels)
        await client.publish([{"symbol": "A", "last": 1}, {"symbol": "C", "last": 7}])
        changes = [summarize(await anext(screen)) for _ in range(2)]
        assert changes == [("leave", "A", 11), ("enter", "C", 7)]
        assert screen.symbols == {"B", "C"}
    with pytest.raises(FilterError):
        await anext(client.screen("lst > 5"))


def summarize(change: ScreenChange) -> tuple[str, str, float | None]:
    return change.kind, change.symbol, change.quote and change.quote.last


async def test_board_stays_current_through_a_reconnect(server: RunningServer, client: tickwire.AsyncClient) -> None:
    await client.publish([{"symbol": "A", "last": 1}, {"symbol": "C", "last": 9}])
    async with client.board(["A", "B"]) as board:
        assert {symbol: quote.last for symbol, quote in board.items()} == {"A": 1}
        await wait_until(lambda: board.is_current)
        reset_connections(server)
        await client.publish([{"symbol": "B", "last": 2}, {"symbol": "A", "last": 3}])
        changed: set[str] = set()
        while not changed >= {"A", "B"} or board["A"].last != 3:
            changed |= await board.wait_for_changes()
        assert (board["A"].last, board["B"].last, len(board)) == (3, 2, 2)
        with pytest.raises(KeyError):
            board["C"]


async def test_board_reports_why_its_stream_failed() -> None:
    """The quotes stay. The next wait raises the error."""
    async with run_server(auth="secret", auth_secret=TEST_SECRET) as server:
        async with tickwire.AsyncClient(server.url, token=sign_token("publish")) as publisher:
            await publisher.publish({"symbol": "A", "last": 1})
        tokens = [sign_token(), "not a token"]
        async with tickwire.AsyncClient(server.url, token=lambda: tokens.pop(0)) as client, client.board() as board:
            with pytest.raises(ClientError) as caught:
                await board.wait_for_changes()
            assert (caught.value.status, board.error, board["A"].last) == (401, caught.value, 1)


async def test_coroutine_function_supplies_the_token() -> None:
    async def read_token() -> str:
        await asyncio.sleep(0)
        return sign_token()

    async with run_server(auth="secret", auth_secret=TEST_SECRET) as server:
        async with tickwire.AsyncClient(server.url, token=read_token) as client:
            assert await client.read_quotes() == {}
            stream = client.quotes()
            assert (await stream.next_event()).name == "welcome"
        async with tickwire.AsyncClient(server.url) as client:
            with pytest.raises(ClientError, match="no token") as caught:
                await client.read_quotes()
            assert caught.value.status == 401


async def test_history_reads_all_pages(client: tickwire.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a start, a limit keeps the oldest candles. Without a start, it keeps the newest."""
    monkeypatch.setattr("tickwire.client.candle_history._PAGE_SIZE", 3)
    ticks = [{"symbol": "A", "ts": T0 + number * MINUTE, "last": number + 1.0, "size": 2} for number in range(10)]
    await client.publish(ticks)

    async def opens(**options) -> list[float]:
        return [candle.open for candle in await client.history("A", "1m", **options)]

    numbers = [number + 1.0 for number in range(10)]
    assert await opens() == numbers
    assert await opens(limit=4) == numbers[-4:]
    assert await opens(start=T0, limit=None) == numbers
    assert await opens(start=datetime.fromtimestamp(T0 / 1e6, UTC), limit=4) == numbers[:4]
    assert await opens(start=T0, end=str(T0 + 6 * MINUTE), limit=None) == numbers[:6]
    assert await opens(end=T0 + 7 * MINUTE, limit=5) == numbers[2:7]
    with pytest.raises(InputError, match="not a time"):
        await client.history("A", start="yesterday")
    with pytest.raises(ClientError) as caught:
        await client.history("ZZZ")
    assert caught.value.status == 404


async def test_history_becomes_a_data_frame(client: tickwire.AsyncClient) -> None:
    pandas = pytest.importorskip("pandas")
    await client.publish([{"symbol": "A", "ts": T0, "last": 1.0, "size": 2}, {"symbol": "B", "last": 1.0}])
    history = await client.history("A", limit=1)
    table = history.to_polars()
    assert table.columns == ["symbol", "start", "open", "high", "low", "close", "volume", "closed"]
    start = datetime.fromtimestamp(T0 / 1e6, UTC)
    assert table.row(0) == ("A", start, 1.0, 1.0, 1.0, 1.0, 2.0, history[0].closed)
    frame = history.to_pandas()
    assert frame.index[0] == pandas.Timestamp(T0, unit="us", tz="UTC")
    assert frame["volume"].tolist() == [2.0]
    empty = history[:0]
    assert (len(empty.to_polars()), len(empty.to_pandas())) == (0, 0)
    assert empty.to_polars().schema == table.schema


async def test_publish_repeats_no_batch_with_the_same_key(client: tickwire.AsyncClient) -> None:
    first = await client.publish([{"symbol": "A", "last": 1}], key="k")
    again = await client.publish([{"symbol": "A", "last": 2}], key="k")
    assert (again.repeated, again.first_id) == (True, first.first_id)


async def test_frames_are_published_without_missing_values(client: tickwire.AsyncClient) -> None:
    """Times have any unit and zone. The same key stores no row twice."""
    pandas = pytest.importorskip("pandas")
    times = [datetime(2026, 1, 5, 15, 30, tzinfo=UTC), None, datetime(2026, 1, 5, 15, 31, tzinfo=UTC)]
    columns = {"symbol": ["A", "B", "A"], "ts": times, "last": [1.0, 2.0, None], "bid": [0.5, None, float("nan")]}
    frames = [
        polars.DataFrame(columns),
        pandas.DataFrame(columns),
        pandas.DataFrame(columns).drop(columns="ts").set_index(pandas.DatetimeIndex(times).tz_convert("Asia/Tokyo")),
        polars.DataFrame({**columns, "ts": [1_767_627_000_000_000, None, 1_767_627_060_000_000]}),
        pandas.DataFrame({**columns, "ts": [1_767_627_000_000_000, None, 1_767_627_060_000_000]}),
    ]
    for number, frame in enumerate(frames):
        receipt = await client.publish_frame(frame, key=f"frame-{number}")
        assert (receipt.accepted, receipt.repeated) == (3, 0)
    assert (await client.publish_frame(frames[0], key="frame-0")).repeated == 3
    quotes = await client.read_quotes()
    assert (quotes["A"].last, quotes["A"].bid, quotes["A"].ts) == (1.0, 0.5, 1_767_627_060_000_000)
    assert (quotes["B"].last, quotes["B"].bid) == (2.0, None)


async def test_wrong_frames_are_rejected(client: tickwire.AsyncClient) -> None:
    with pytest.raises(InputError, match="column 'lst'") as caught:
        await client.publish_frame(polars.DataFrame({"symbol": ["A"], "lst": [1.0]}))
    assert caught.value.hint == "did you mean last?"
    with pytest.raises(InputError, match="no column 'symbol'"):
        await client.publish_frame(polars.DataFrame({"last": [1.0]}))
    with pytest.raises((BatchRowError, InputError), match="last"):
        await client.publish_frame(polars.DataFrame({"symbol": ["A"], "last": ["x"]}))


async def test_large_frame_takes_several_batches(client: tickwire.AsyncClient) -> None:
    frame = polars.DataFrame({"symbol": ["A"] * 2_500, "last": [float(number) for number in range(2_500)]})
    async with client.quotes(delivery="all") as stream:
        await stream.next_event()
        assert (await client.publish_frame(frame)).accepted == 2_500
        prices = [(await anext(stream)).last for _ in range(2_500)]
    assert prices == frame["last"].to_list()


async def test_simulator_control(tmp_path: Path) -> None:
    async with run_server(feed="simulator") as server, tickwire.AsyncClient(server.url) as client:
        assert (await client.simulator.send_command("PAUSE"))["state"] == "paused"
        assert (await client.simulator.status())["state"] == "paused"
        with pytest.raises(InputError):
            await client.simulator.send_command("JUMP")
        model = tmp_path / "model.json"
        model.write_text('{"format": 1, "version": "m", "symbols": [{"symbol": "ACME", "price": 12.5}]}')
        await client.simulator.set_model(model)
        with pytest.raises(ClientError, match="cannot read"):
            await client.simulator.set_scenario(tmp_path / "missing.toml")
        assert (await client.simulator.set_scenario(None))["scenario"] is None


async def test_close_ends_open_streams(server: RunningServer) -> None:
    client = tickwire.AsyncClient(server.url)
    stream = client.quotes()
    await stream.next_event()
    board = client.board()
    await board.__aenter__()
    await wait_until(lambda: len(server.runtime.hub.roster.channels) == 2)
    await client.close()
    await client.close()
    assert (stream.state, board.stream.state) == ("closed", "closed")
    await wait_until(lambda: not server.runtime.hub.roster.channels)


async def test_server_that_does_not_answer_is_a_client_error() -> None:
    async with tickwire.AsyncClient("http://127.0.0.1:9") as client:
        with pytest.raises(ClientError, match="does not answer"):
            await client.read_quotes()
        with pytest.raises(ClientError, match="does not answer"):
            async with client.board():
                pass
