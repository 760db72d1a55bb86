"""The Python client against real servers: reconnects, resumes, refusals, publishing."""

from __future__ import annotations

import asyncio
import random
import socket
from collections import Counter

import httpx2
import pytest

import tickwire
from tickwire.client.backoff import Backoff
from tickwire.client.publisher import Publisher
from tickwire.client.refusal import Refusal
from tickwire.client.stream import Stream, connect
from tickwire.errors import ClientError, FilterError, InputError, RowError
from tickwire.testing import ManualClock, RunningServer, run_server


def quick(stream: Stream) -> Stream:
    """The same stream with waits of a millisecond."""
    stream._backoff = Backoff(0.001, 0.001)
    return stream


def cut_all(server: RunningServer) -> None:
    """Reset every stream's connection, as a failing network would."""
    for reader in server.runtime.hub.roster.channels:
        reader.sink._transport.abort()


async def test_quotes_come_as_objects() -> None:
    """The public names are enough: connect, iterate, publish."""
    async with run_server() as server, tickwire.connect(server.url, symbols=["A", "B"]) as stream:
        async with tickwire.Publisher(server.url) as publisher:
            published = await publisher.publish([{"symbol": "A", "last": 1.5}, tickwire.Tick(symbol="B", last=2.0)])
        assert published.accepted == 2
        quotes = [await anext(stream), await anext(stream)]
        assert [(quote.symbol, quote.last) for quote in quotes] == [("A", 1.5), ("B", 2.0)]
        assert isinstance(quotes[0], tickwire.Quote)
        assert stream.last_event_id == published.last_id
        assert stream.welcome["subscription"]["symbols"] == ["A", "B"]


async def test_cut_connections_lose_and_repeat_nothing() -> None:
    """A stream of all events through a network that resets connections again and again is without hole or double."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    total = 2_000
    async with run_server() as server, quick(connect(server.url, delivery="all", since="earliest")) as stream:

        async def publish() -> None:
            async with Publisher(server.url) as publisher:
                for number in range(0, total, 20):
                    await publisher.publish([{"symbol": "A", "last": float(number + each)} for each in range(20)])
                    if rng.random() < 0.2:
                        cut_all(server)

        publishing = asyncio.create_task(publish())
        seen = [(await anext(stream)).last for _ in range(total)]
        await publishing
    assert seen == [float(number) for number in range(total)]
    assert stream.connections > 2
    assert stream.gaps == 0


async def test_a_cancelled_wait_loses_nothing() -> None:
    """A timeout around the next quote, as programs have them, does not break the stream."""
    async with run_server() as server, quick(connect(server.url, delivery="all")) as stream:
        while stream.state != "live":
            await stream.next_event()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await anext(stream)
        async with Publisher(server.url) as publisher:
            await publisher.publish([{"symbol": "A", "last": 1.0}])
        assert (await anext(stream)).last == 1.0


async def test_a_server_that_drains_is_awaited_for_the_time_it_asks() -> None:
    """After `bye` the client comes back after the time it was told, not by its own backoff."""
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
    assert any("the server ended the stream; again in" in why for _, why in states)


async def test_a_silent_server_is_given_up() -> None:
    """When not even heartbeats come the connection is dead, and a new one is made."""
    async with run_server(heartbeat=0.04) as server, quick(connect(server.url)) as stream:
        await stream.next_event()
        await stream._drop()  # the timeout applies from the next connection on
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await anext(stream)
        assert stream.connections > 2


async def test_refusals_for_good_are_errors_and_others_are_waited_out() -> None:
    """400 says what is wrong; 503 is tried again; a closed port ends it after the attempts given."""
    async with run_server(max_readers=1) as server:
        with pytest.raises(InputError, match="cannot be a symbol"):
            async with connect(server.url, ["A B"]) as stream:
                await anext(stream)
        async with connect(server.url) as first, quick(connect(server.url, attempts=3)) as second:
            await first.next_event()
            second._clock = type("AtOnce", (), {"sleep": staticmethod(lambda _: asyncio.sleep(0))})()
            with pytest.raises(ClientError, match="all the readers it takes"):
                await second.next_event()
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
    with pytest.raises(ClientError, match="no stream from"):
        async with quick(connect(url, attempts=2)) as stream:
            await stream.next_event()


async def test_an_interval_may_be_a_number_of_seconds() -> None:
    """1 is a second; a field that was not asked for is not known."""
    async with run_server() as server, tickwire.connect(server.url, ["A"], interval=1, fields=["last"]) as stream:
        await stream.next_event()
        assert stream.welcome["subscription"]["interval"] == 1000
        async with Publisher(server.url) as publisher:
            await publisher.publish([{"symbol": "A", "last": 1.5}])
        assert await anext(stream) == tickwire.Quote("A", last=1.5, ts=None)


async def test_a_server_that_is_down_is_a_warning_once(caplog: pytest.LogCaptureFixture) -> None:
    """The first failure says so; the others are for who asks."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    async with quick(connect(url, attempts=3)) as stream:
        with pytest.raises(ClientError):
            await anext(stream)
    assert [record.levelname for record in caplog.records if record.name == "tickwire.client.stream"] == ["WARNING"]


async def test_a_refusal_says_where_and_what_would_do() -> None:
    """An address that is no server of ours is named, without its query; a filter's place and hint are shown."""
    async with run_server() as server:
        with pytest.raises(FilterError) as refused:
            async with connect(server.url, filter="lsat > 5") as stream:
                await anext(stream)
        assert refused.value.__notes__ == ["lsat > 5\n^", refused.value.hint]
        with pytest.raises(ClientError, match=r"/nowhere/v1/stream: not found"):
            async with connect(server.url + "/nowhere") as stream:
                await anext(stream)
    answer = httpx2.Response(404, request=httpx2.Request("GET", "http://h/x?ticket=t"))
    assert str(Refusal(answer)) == "http://h/x answered 404"


def test_the_public_names_can_be_listed() -> None:
    """By `dir`, as completion in a shell does."""
    assert {*tickwire.__all__} <= {*dir(tickwire)}


async def test_publishing_says_which_row_is_wrong() -> None:
    """The server's index and field come back as an error."""
    async with run_server() as server, Publisher(server.url) as publisher:
        with pytest.raises(RowError, match="tick 1, last") as caught:
            await publisher.publish([{"symbol": "A", "last": 1}, {"symbol": "A", "last": "x"}])
        assert (caught.value.index, caught.value.field) == (1, "last")
        first = await publisher.publish([{"symbol": "A", "last": 1}], key="k")
        again = await publisher.publish([{"symbol": "A", "last": 1}], key="k")
        assert again.repeated
        assert again.first_id == first.first_id
    async with Publisher("http://127.0.0.1:1", attempts=2, backoff=Backoff(0.001)) as publisher:
        with pytest.raises(ClientError, match="127"):
            await publisher.publish([{"symbol": "A", "last": 1}])


def test_backoff_is_bounded_and_jittered() -> None:
    """Waits lie between 0 and the doubling bound, never above the longest, and start over after a success."""
    backoff = Backoff(0.5, 30.0, random.Random(1))
    for failure in range(40):
        assert 0 <= backoff.next() <= min(30.0, 0.5 * 2**failure)
    backoff.reset()
    assert backoff.next() <= 0.5
    waits = [Backoff(8.0).next() for _ in range(200)]
    assert min(waits) < 1.0
    assert max(waits) > 7.0


async def test_a_watchlist_too_long_for_a_url_is_put_down_first() -> None:
    """With a thousand symbols it works all the same, through reconnects too; a refusal is the caller's error."""
    names = [f"LONG.NAME{number}" for number in range(1_000)]
    async with run_server() as server, quick(connect(server.url, names, client_id="ann")) as stream:
        async with Publisher(server.url) as publisher:
            for price in (1.0, 2.0):
                await publisher.publish([{"symbol": names[-1], "last": price}])
                assert (await anext(stream)).last == price
                cut_all(server)
        assert len(stream.welcome["subscription"]["symbols"]) == 1_000
    async with run_server(max_symbols=10) as server, connect(server.url, names) as stream:
        with pytest.raises(InputError, match="a reader may have 10"):
            await anext(stream)


async def test_each_batch_has_its_own_attempts() -> None:
    """However many are sent at once, each is tried as often as it may be, and no success of another starts it over."""
    tries: Counter[str] = Counter()

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        tries[head.split("idempotency-key: ")[1].split("\r\n")[0]] += 1
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    async with server, Publisher(f"http://{host}:{port}", attempts=4, backoff=Backoff(0.0)) as publisher:
        sends = [publisher.publish([{"symbol": "A", "last": 1}], key=str(number)) for number in range(10)]
        failures = await asyncio.gather(*sends, return_exceptions=True)
        assert all(isinstance(failure, ClientError) for failure in failures)
        assert tries == {str(number): 4 for number in range(10)}
