"""The Python client against real servers: reconnects, resumes, errors, publishing."""

from __future__ import annotations

import asyncio
import random
import socket
from collections import Counter

import httpx2
import pytest

import tickwire
from tickwire.client.backoff import Backoff
from tickwire.client.events import EVENT_TYPES, Bye, Gap, Message, Welcome
from tickwire.client.http import ErrorResponse
from tickwire.client.publisher import Publisher
from tickwire.client.stream import Stream, connect
from tickwire.clock import SystemClock
from tickwire.core.event_kinds import StreamEvent
from tickwire.core.heartbeat import Heartbeat
from tickwire.errors import BatchRowError, ClientError, FilterError, InputError, StreamEnded
from tickwire.testing import ManualClock, RunningServer, run_server, wait_until
from tickwire.testing.proxy import FaultProxy
from tickwire.testing.tokens import TEST_SECRET, sign_token


def with_short_waits(stream: Stream) -> Stream:
    """Return the stream with waits of one millisecond."""
    stream._backoff = Backoff(0.001, 0.001)
    return stream


class ClockWithoutWaits(SystemClock):
    """A clock with which a client reconnects at once, even if the server requests a wait."""

    async def sleep(self, seconds: float) -> None:
        del seconds
        await asyncio.sleep(0)


def reset_connections(server: RunningServer) -> None:
    """Reset the connection of every stream, as a failing network does."""
    for reader in server.runtime.hub.roster.channels:
        reader.sink._transport.abort()


async def test_public_names_connect_iterate_and_publish() -> None:
    async with run_server() as server, tickwire.connect(server.url, symbols=["A", "B"]) as stream:
        async with tickwire.Publisher(server.url) as publisher:
            receipt = await publisher.publish([{"symbol": "A", "last": 1.5}, tickwire.Tick(symbol="B", last=2.0)])
        assert receipt.accepted == 2
        quotes = [await anext(stream), await anext(stream)]
        assert [(quote.symbol, quote.last) for quote in quotes] == [("A", 1.5), ("B", 2.0)]
        assert isinstance(quotes[0], tickwire.Quote)
        assert stream.last_event_id == receipt.last_id
        assert stream.welcome["subscription"]["symbols"] == ["A", "B"]


async def test_stream_of_all_events_survives_resets_without_gap_or_repetition() -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    total = 2_000
    async with (
        run_server() as server,
        with_short_waits(connect(server.url, delivery="all", since="earliest")) as stream,
    ):

        async def publish() -> None:
            async with Publisher(server.url) as publisher:
                for number in range(0, total, 20):
                    await publisher.publish([{"symbol": "A", "last": float(number + index)} for index in range(20)])
                    if rng.random() < 0.2:
                        reset_connections(server)

        publishing = asyncio.create_task(publish())
        prices = [(await anext(stream)).last for _ in range(total)]
        await publishing
    assert prices == [float(number) for number in range(total)]
    assert stream.connections > 2
    assert stream.gaps == 0


async def test_cancelled_wait_loses_no_event() -> None:
    """Programs put timeouts around the wait for the next quote."""
    async with run_server() as server, with_short_waits(connect(server.url, delivery="all")) as stream:
        while stream.state != "live":
            await stream.next_event()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await anext(stream)
        async with Publisher(server.url) as publisher:
            await publisher.publish([{"symbol": "A", "last": 1.0}])
        assert (await anext(stream)).last == 1.0


async def test_client_reconnects_after_the_time_in_bye() -> None:
    """The time in `bye` replaces the client's own backoff."""
    states = []
    async with run_server() as server:
        clock = ManualClock()
        async with connect(server.url, on_state=lambda *state: states.append(state)) as stream:
            stream._clock = clock
            await stream.next_event()
            server.app.drain()
            bye = await stream.next_event()
            assert bye.name == "bye"
            waiting = asyncio.create_task(stream.next_event())
            while not clock._sleepers:
                await asyncio.sleep(0)
            assert clock._sleepers[0][0] == pytest.approx(bye.data["reconnect_in_ms"] / 1000)
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
    assert states[0] == ("live", "")
    assert states[-1] == ("closed", "")
    assert any("the server ended the stream; retry in" in reason for _, reason in states)


async def test_half_open_connection_is_replaced_after_three_heartbeats() -> None:
    """The connection stays open, but no byte arrives. The stream reconnects, and misses no event."""
    async with (
        run_server(heartbeat=0.2) as server,
        FaultProxy(server.url) as proxy,
        with_short_waits(connect(proxy.url, delivery="all")) as stream,
    ):
        assert (await stream.next_event()).name == "welcome"
        assert stream._body is not None
        assert stream._body.timeout_s == pytest.approx(3 * 0.2)
        proxy.stall()
        async with Publisher(server.url) as publisher:
            # The proxy forwards the result of the read that has already begun.
            await publisher.publish([{"symbol": "A", "last": 1.0}])
            assert (await anext(stream)).last == 1.0
            receipt = await publisher.publish([{"symbol": "A", "last": 2.0}])
        reading = asyncio.create_task(anext(stream))
        await wait_until(lambda: len(proxy.connections) > 1)
        proxy.resume()
        assert (await reading).last == 2.0
        assert (stream.last_event_id, stream.gaps) == (receipt.last_id, 0)


async def test_final_bye_ends_the_stream_with_a_typed_error() -> None:
    """Without a function that returns a new token, a reconnect after `expired` cannot succeed."""
    clock = ManualClock()
    now = clock.now() / 1e9
    token = sign_token(iat=now, exp=now + 1)
    settings = {"auth": "secret", "auth_secret": TEST_SECRET, "auth_leeway": 0}
    async with run_server(**settings, clock=clock) as server, connect(server.url, token=token) as stream:
        value = (await stream.next_event()).value
        await clock.advance(3)
        while not isinstance(value, Bye):
            value = (await stream.next_event()).value
        assert value.reason == "expired"
        for _ in range(2):
            with pytest.raises(StreamEnded, match="expired") as caught:
                await stream.next_event()
        assert (caught.value.reason, stream.connections) == ("expired", 1)


async def test_an_unchanged_token_is_kept_until_it_expires() -> None:
    """A function may return the present token when the server announces the expiry. The stream keeps its connection."""
    stream = connect("http://test", token=lambda: "t")
    stream._sent_token = "t"
    stream._process_event(httpx2.ServerSentEvent("expiring", '{"in_ms":1000}'))
    await stream._renew_token()
    assert stream._new_token is None
    stream._sent_token = "older"
    await stream._renew_token()
    assert stream._new_token == "t"
    await stream.close()


async def test_answer_204_ends_the_stream() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        await writer.drain()
        writer.close()

    listener = await asyncio.start_server(answer, "127.0.0.1", 0)
    host, port = listener.sockets[0].getsockname()
    async with listener, connect(f"http://{host}:{port}") as stream:
        with pytest.raises(StreamEnded, match="evicted it"):
            await stream.next_event()


async def test_undecodable_answers_are_client_errors() -> None:
    """A proxy announces gzip, but sends another format."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Encoding: gzip\r\nContent-Length: 7"
        writer.write(head + b"\r\n\r\nno gzip")
        await writer.drain()
        writer.close()

    listener = await asyncio.start_server(answer, "127.0.0.1", 0)
    host, port = listener.sockets[0].getsockname()
    url = f"http://{host}:{port}"
    async with listener, tickwire.AsyncClient(url) as client:
        with pytest.raises(ClientError, match="does not answer"):
            await client.read_quotes()
        async with connect(url, attempts=1) as stream:
            with pytest.raises(ClientError, match="cannot read a stream"):
                await stream.next_event()


async def test_events_have_typed_values() -> None:
    """A gap is an event of its own. An event with an unknown name is a message."""
    async with run_server() as server, with_short_waits(connect(server.url, events="quote,message")) as stream:
        welcome = (await stream.next_event()).value
        assert isinstance(welcome, Welcome)
        assert (welcome.head, welcome.heartbeat) == (stream.welcome["head"], 15.0)
        async with httpx2.AsyncClient() as client:
            body = {"event": "news", "data": {"text": "x"}}
            assert (await client.post(f"{server.url}/v1/messages", json=body)).is_success
        assert (await stream.next_event()).value == Message("news", {"text": "x"})
    async with run_server() as server, connect(server.url, events="quote,candle", last_event_id="abc-1") as stream:
        values = [(await stream.next_event()).value for _ in range(2)]
        assert isinstance(values[1], Gap)
        assert (values[1].from_id, values[1].reason, stream.gaps) == ("abc-1", "epoch", 1)


@pytest.mark.parametrize("symbols", [["A"], [f"SYMBOL-{number:04d}" for number in range(500)]], ids=["URL", "stored"])
async def test_heartbeats_are_events_if_the_program_asks_for_them(symbols: list[str]) -> None:
    """A long list of symbols is a stored subscription, which contains the choice too."""
    # The client reconnects after three silent intervals, and the server looks for silent streams once a second.
    async with run_server(heartbeat=1) as server, connect(server.url, symbols, heartbeats="event") as stream:
        assert isinstance((await stream.next_event()).value, Welcome)
        heartbeat = (await stream.next_event()).value
        assert isinstance(heartbeat, Heartbeat)
        assert (heartbeat.head, heartbeat.ts > 0) == (stream.welcome["head"], True)


def test_every_event_of_the_server_has_a_class() -> None:
    assert {*EVENT_TYPES} == {*StreamEvent}


async def test_permanent_errors_are_raised_and_temporary_ones_retried() -> None:
    """The client raises the error of a status 400 at once, and of a status 503 or a closed port after all attempts."""
    async with run_server(max_readers=1) as server:
        with pytest.raises(InputError, match="cannot be a symbol"):
            async with connect(server.url, ["A|B"]) as stream:
                await anext(stream)
        async with connect(server.url) as first, with_short_waits(connect(server.url, attempts=3)) as second:
            await first.next_event()
            second._clock = ClockWithoutWaits()
            with pytest.raises(ClientError, match="readers is reached"):
                await second.next_event()
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
    with pytest.raises(ClientError, match="cannot read a stream from"):
        async with with_short_waits(connect(url, attempts=2)) as stream:
            await stream.next_event()


async def test_interval_may_be_a_number_of_seconds() -> None:
    """The quote lacks the fields that the client did not request."""
    async with run_server() as server, tickwire.connect(server.url, ["A"], interval=1, fields=["last"]) as stream:
        await stream.next_event()
        assert stream.welcome["subscription"]["interval"] == 1000
        async with Publisher(server.url) as publisher:
            await publisher.publish([{"symbol": "A", "last": 1.5}])
        assert await anext(stream) == tickwire.Quote("A", last=1.5, ts=None)


async def test_first_failed_connect_is_a_warning_and_the_next_ones_are_not(caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    async with with_short_waits(connect(url, attempts=3)) as stream:
        with pytest.raises(ClientError):
            await anext(stream)
    assert [record.levelname for record in caplog.records if record.name == "tickwire.client.stream"] == ["WARNING"]


async def test_errors_name_the_url_and_carry_notes() -> None:
    """The URL has no query, which may contain a ticket. The notes contain the position in a filter and a hint."""
    async with run_server() as server:
        with pytest.raises(FilterError) as caught:
            async with connect(server.url, filter="lsat > 5") as stream:
                await anext(stream)
        assert caught.value.__notes__ == ["lsat > 5\n^", caught.value.hint]
        with pytest.raises(ClientError, match=r"/nowhere/v1/stream: not found"):
            async with connect(server.url + "/nowhere") as stream:
                await anext(stream)
    response = httpx2.Response(404, request=httpx2.Request("GET", "http://h/x?ticket=t"))
    assert str(ErrorResponse(response)) == "http://h/x answered 404"


def test_dir_lists_the_public_names() -> None:
    assert {*tickwire.__all__} <= {*dir(tickwire)}


async def test_publisher_reports_the_wrong_row_and_repeated_keys() -> None:
    async with run_server() as server, Publisher(server.url) as publisher:
        with pytest.raises(BatchRowError, match="tick 1, last") as caught:
            await publisher.publish([{"symbol": "A", "last": 1}, {"symbol": "A", "last": "x"}])
        assert (caught.value.index, caught.value.field) == (1, "last")
        first = await publisher.publish([{"symbol": "A", "last": 1}], key="k")
        again = await publisher.publish([{"symbol": "A", "last": 1}], key="k")
        assert again.repeated
        assert again.first_id == first.first_id
    async with Publisher("http://127.0.0.1:1", attempts=2, backoff=Backoff(0.001)) as publisher:
        with pytest.raises(ClientError, match="127"):
            await publisher.publish([{"symbol": "A", "last": 1}])


def test_backoff_doubles_up_to_a_limit_with_full_jitter() -> None:
    backoff = Backoff(0.5, 30.0, random.Random(1))
    for failure in range(40):
        assert 0 <= backoff.next_wait() <= min(30.0, 0.5 * 2**failure)
    backoff.reset()
    assert backoff.next_wait() <= 0.5
    waits = [Backoff(8.0).next_wait() for _ in range(200)]
    assert min(waits) < 1.0
    assert max(waits) > 7.0


async def test_watchlist_too_long_for_a_url_is_stored_on_the_server() -> None:
    """A thousand symbols survive a reconnect; more symbols than the server allows are an InputError."""
    names = [f"LONG.NAME{number}" for number in range(1_000)]
    async with run_server() as server, with_short_waits(connect(server.url, names, client_id="ann")) as stream:
        async with Publisher(server.url) as publisher:
            for price in (1.0, 2.0):
                await publisher.publish([{"symbol": names[-1], "last": price}])
                assert (await anext(stream)).last == price
                reset_connections(server)
        assert len(stream.welcome["subscription"]["symbols"]) == 1_000
    async with run_server(max_symbols=10) as server, connect(server.url, names) as stream:
        with pytest.raises(InputError, match="symbols and patterns: at most 10 are allowed"):
            await anext(stream)


async def test_each_batch_has_its_own_attempts() -> None:
    """Batches in flight at the same time do not share their backoff."""
    tries: Counter[str] = Counter()

    async def close_connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        tries[head.split("idempotency-key: ")[1].split("\r\n")[0]] += 1
        writer.close()

    server = await asyncio.start_server(close_connection, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    async with server, Publisher(f"http://{host}:{port}", attempts=4, backoff=Backoff(0.0)) as publisher:
        sends = [publisher.publish([{"symbol": "A", "last": 1}], key=str(number)) for number in range(10)]
        failures = await asyncio.gather(*sends, return_exceptions=True)
        assert all(isinstance(failure, ClientError) for failure in failures)
        assert tries == {str(number): 4 for number in range(10)}
