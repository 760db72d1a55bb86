"""The client for programs without asyncio, against real servers."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable
from concurrent.futures import wait

import polars
import pytest

import tickwire
from tickwire.errors import ClientError, FilterError
from tickwire.testing import RunningServer, run_server


async def run_with_client(test: Callable[[tickwire.Client, RunningServer], None], **settings: object) -> None:
    """Run a blocking test in a thread, while the event loop runs the server."""

    def run(server: RunningServer) -> None:
        with tickwire.Client(server.url) as client:
            test(client, server)

    async with run_server(**settings) as server:
        await asyncio.to_thread(run, server)


async def test_all_methods_without_asyncio() -> None:
    def test(client: tickwire.Client, server: RunningServer) -> None:
        assert client.url == server.url
        receipt = client.publish([{"symbol": "A", "last": 1.5, "size": 3}, {"symbol": "B", "last": 2.5}], key="k")
        assert client.publish([{"symbol": "X", "last": 1}], key="k").first_id == receipt.first_id
        assert client.publish_frame(polars.DataFrame({"symbol": ["C"], "last": [9.0]})).accepted == 1
        assert sorted(client.read_quotes()) == ["A", "B", "C"]
        assert [candle.volume for candle in client.history("A")] == [3]
        assert client.measure_round_trip() > 0
        with client.quotes(["A", "B"]) as quotes:
            assert [quotes.next_item().symbol, next(iter(quotes)).symbol] == ["A", "B"]
        with client.quotes("A").events() as events:
            assert [events.next_item().name, next(iter(events)).value.last] == ["welcome", 1.5]
        with client.candles("A") as candles:
            assert candles.next_item().open == 1.5
        with client.screen("last > 2") as screen:
            assert {screen.next_item().symbol for _ in range(2)} == {"B", "C"} == screen.symbols
            assert screen.quotes["C"].last == 9

    await run_with_client(test)


async def test_board_is_current_while_the_program_does_something_else() -> None:
    def test(client: tickwire.Client, _: RunningServer) -> None:
        client.publish({"symbol": "A", "last": 1})
        with client.board() as board:
            assert {**board}["A"].last == 1
            client.publish({"symbol": "A", "last": 2})
            while board["A"].last != 2:
                assert board.wait_for_changes() == {"A"}
            assert (len(board), board.is_current) == (1, True)

    await run_with_client(test)


async def test_a_wait_with_a_timeout_loses_no_item() -> None:
    def test(client: tickwire.Client, _: RunningServer) -> None:
        with client.quotes(delivery="all") as quotes, client.board() as board:
            for _attempt in range(2):
                with pytest.raises(TimeoutError):
                    quotes.next_item(timeout_s=0.01)
            with pytest.raises(TimeoutError):
                board.wait_for_changes(timeout_s=0.01)
            receipt = client.publish([{"symbol": "A", "last": 1}, {"symbol": "A", "last": 2}])
            assert [quotes.next_item().last, quotes.last_event_id] == [1, receipt.first_id]
            assert [quotes.next_item().last, quotes.last_event_id, quotes.gaps] == [2, receipt.last_id, 0]
            assert board.wait_for_changes() == {"A"}

    await run_with_client(test)


async def test_the_last_event_id_waits_for_the_program() -> None:
    """After a timeout, an event arrives in the thread. A program that stores the id now must not lose the event."""

    def test(client: tickwire.Client, _: RunningServer) -> None:
        with client.quotes(delivery="all") as quotes:
            client.publish({"symbol": "A", "last": 1})
            assert quotes.next_item().last == 1
            stored_id = quotes.last_event_id
            with pytest.raises(TimeoutError):
                quotes.next_item(timeout_s=0.01)
            receipt = client.publish({"symbol": "A", "last": 2})
            wait([quotes._next], 30)
            assert quotes.last_event_id == stored_id
        with client.quotes(delivery="all", last_event_id=quotes.last_event_id) as later:
            assert later.last_event_id == stored_id
            assert [later.next_item().last, later.last_event_id] == [2, receipt.last_id]

    await run_with_client(test)


async def test_a_screen_changes_only_while_the_program_waits() -> None:
    def test(client: tickwire.Client, _: RunningServer) -> None:
        with client.screen("last > 0") as screen:
            client.publish({"symbol": "A", "last": 1})
            screen.next_item()
            with pytest.raises(TimeoutError):
                screen.next_item(timeout_s=0.01)
            client.publish({"symbol": "B", "last": 2})
            wait([screen._next], 30)
            assert ({*screen.symbols}, {*screen.quotes}) == ({"A"}, {"A"})
            assert screen.next_item().symbol == "B"
            assert ({*screen.symbols}, {*screen.quotes}) == ({"A", "B"}, {"A", "B"})

    await run_with_client(test)


async def test_simulator_control() -> None:
    def test(client: tickwire.Client, _: RunningServer) -> None:
        assert client.simulator.send_command("PAUSE")["state"] == "paused"
        assert client.simulator.status()["state"] == "paused"
        assert client.simulator.set_scenario(None)["scenario"] is None

    await run_with_client(test, feed="simulator")


async def test_errors_reach_the_caller_and_close_ends_the_thread() -> None:
    def test(client: tickwire.Client, _: RunningServer) -> None:
        with pytest.raises(FilterError):
            client.screen("lst > 5").next_item()
        with pytest.raises(ClientError, match="has not traded"):
            client.history("ZZZ")
        # The program may forget to close a stream.
        with pytest.raises(TimeoutError):
            client.quotes().next_item(timeout_s=0.01)
        clients.append(client)

    clients: list[tickwire.Client] = []
    await run_with_client(test)
    with pytest.raises(RuntimeError, match="the client is closed"):
        clients[0].read_quotes()
    assert "tickwire-client" not in {thread.name for thread in threading.enumerate()}


async def test_program_that_does_not_close_its_client_can_end() -> None:
    async with run_server() as server:
        program = f"import tickwire; print(tickwire.Client({server.url!r}).read_quotes())"
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", program), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        output, errors = await process.communicate()
    assert (process.returncode, output.decode().strip(), errors.decode()) == (0, "{}", "")
