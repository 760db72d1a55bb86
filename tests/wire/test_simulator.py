"""The hands on a running server: commands, models and scenarios over HTTP and from the command line."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest
import uvicorn

from tickwire.app import create_app
from tickwire.core.codec import encode
from tickwire.errors import InputError
from tickwire.market.model import Model
from tickwire.market.universe import built_in
from tickwire.testing.clock import ManualClock
from tickwire.testing.server import RunningServer, ServerProcess, run_server
from tickwire.testing.wire import WireStream, open_stream

EXAMPLES = Path(__file__).parents[2] / "examples"
PLAYED = {"feed": "simulator", "seed": 7}


@contextlib.asynccontextmanager
async def serving(**options: Any) -> AsyncIterator[tuple[RunningServer, httpx2.AsyncClient]]:
    """A server and a client of it."""
    async with run_server(**(PLAYED | options)) as server, httpx2.AsyncClient(base_url=server.url) as client:
        yield server, client


async def command(client: httpx2.AsyncClient, text: str) -> dict[str, Any]:
    response = await client.post("/v1/simulator", json={"command": text})
    assert response.status_code == 200, response.text
    return response.json()


async def soon(true: Callable[[], Awaitable[bool]]) -> None:
    """Return when it is true; the test's timeout is the patience."""
    while not await true():
        await asyncio.sleep(0.01)


def another(version: str, **of_symbols: Any) -> Model:
    """The built-in model with other numbers."""
    symbols = tuple(msgspec.structs.replace(each, **of_symbols) for each in built_in().symbols)
    return msgspec.structs.replace(built_in(), version=version, symbols=symbols)


async def test_every_command_is_a_status_for_every_reader() -> None:
    """In order, through the journal, with state and speed; between pause and resume nothing moves."""
    expected = {
        "PAUSE": ("paused", 1.0),
        "SPEED=5": ("paused", 5.0),
        "resume": ("running", 5.0),
        "STOP": ("halted", 5.0),
        "START": ("running", 5.0),
        "STEP=2": ("paused", 5.0),
        "step = 3": ("paused", 5.0),
    }
    async with serving() as (server, client), open_stream(server.url, {"events": "status"}) as stream:
        await soon(lambda: _running(client))
        for text, state in expected.items():
            await command(client, text)
            said = None
            while said != state:
                (status,) = await stream.events(1, name="status")
                said = (status.data["state"], status.data["speed"])
            assert status.id is not None
            assert status.data["command"] == text.upper().replace(" ", "")
            if text == "PAUSE":
                before = server.runtime.hub.head.sequence
                for _ in range(100):
                    await asyncio.sleep(0)
                assert server.runtime.hub.head.sequence == before


async def _running(client: httpx2.AsyncClient) -> bool:
    return bool((await client.get("/v1/simulator")).json()["state"] == "running")


async def test_the_state_says_what_is() -> None:
    """Feed, state, speed, the market's time and the model; a late reader gets the pause with its snapshot."""
    async with serving(speed=2) as (server, client):
        await command(client, "PAUSE")
        state = (await client.get("/v1/simulator")).json()
        assert (state["feed"], state["mode"], state["state"], state["speed"]) == (
            "simulator",
            "simulated",
            "paused",
            2.0,
        )
        assert state["model"]["version"] == "built-in"
        async with open_stream(server.url, {"events": "status"}) as stream:
            (status,) = await stream.events(1, name="status")
        assert (status.data["state"], status.data["model"]) == ("paused", "built-in")


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b'{"command":"JUMP"}', "unknown command 'JUMP': choose START, PAUSE, RESUME, STOP, STEP or STEP=n"),
        (b'{"command":"PAUSE=3"}', "unknown command 'PAUSE=3'"),
        (b'{"command":"SPEED=fast"}', "'SPEED=fast': expected a number from 0 to 1000"),
        (b'{"command":"SPEED=-1"}', "expected a number from 0 to 1000"),
        (b'{"command":"SPEED=nan"}', "expected a number from 0 to 1000"),
        (b'{"command":"STEP=0"}', "expected a whole number from 1"),
        (b'{"command":"STEP=1.5"}', "expected a whole number from 1 to 1000000"),
        (b'{"command":"SEEK=yesterday"}', "'yesterday' is no time"),
        (b'{"command":"SEEK=2026-01-01"}', "the feed simulator has no past to go to"),
        (b'{"command":5}', "one of START, PAUSE"),
        (b"[]", "one of START, PAUSE"),
        (b"\xff", "one of START, PAUSE"),
    ],
)
async def test_a_bad_command_changes_nothing_and_names_the_good_ones(body: bytes, says: str) -> None:
    """400, with what there is."""
    async with serving() as (_, client):
        before = (await client.get("/v1/simulator")).json()
        response = await client.post("/v1/simulator", content=body)
        assert response.status_code == 400
        said = response.json()
        assert says in said["detail"] + said.get("hint", "")
        after = (await client.get("/v1/simulator")).json()
        assert (after["state"] in ("running", "waiting"), after["speed"]) == (True, before["speed"])


async def test_a_market_of_the_past_is_told_live() -> None:
    """With a start, market time is that of then, however fast; silence is measured by the clock on the wall."""
    async with serving(start="2026-01-05T14:30:00Z", speed=60) as (_, client):
        await soon(lambda: _running(client))
        found = (await client.get("/v1/quotes/AAPL")).json()["ts"]
        assert 0 <= found - 1_767_623_400_000_000 < 3_600_000_000
        assert (await client.get("/readyz")).status_code == 200


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"feed": "simulator", "start": "tomorrow"}, "'tomorrow' is no time"),
        ({"feed": "simulator", "start": "9999-01-01"}, "'9999-01-01' is no time for a market"),
        ({"feed": "http", "start": "2026-01-05"}, "--start 2026-01-05 is for a simulated market, and --feed http has"),
        ({"feed": "http", "scenario": "crash.toml"}, "--scenario crash.toml is for a simulated market"),
        ({"feed": "http", "model": "mine.json"}, "--model mine.json is for a simulated market"),
    ],
)
async def test_what_only_a_simulation_can_be_told_is_refused_elsewhere(settings: dict[str, Any], says: str) -> None:
    """Before anything runs, not passed over."""
    with pytest.raises(InputError, match=says):
        async with run_server(**settings):
            pass


async def test_a_paused_feed_is_not_stale_and_a_stuck_one_is() -> None:
    """Held, the market is ready however long; silent by itself, it is not."""
    clock = ManualClock()
    async with serving(clock=clock, stale_after=5) as (_, client):
        await soon(lambda: _ticked(client, clock))
        await command(client, "PAUSE")
        await clock.advance(60)
        assert (await client.get("/readyz")).status_code == 200
        await command(client, "RESUME")
        assert (await client.get("/v1/simulator")).json()["state"] == "running"
    clock = ManualClock()
    stuck = str(EXAMPLES / "scenarios" / "stuck.toml")
    async with serving(clock=clock, stale_after=5, scenario=stuck) as (_, client):
        await soon(lambda: _ticked(client, clock))
        for _ in range(20):
            await clock.advance(1)
        assert (await client.get("/readyz")).status_code == 503
        for _ in range(25):
            await clock.advance(1)
        assert (await client.get("/readyz")).status_code == 200


async def _ticked(client: httpx2.AsyncClient, clock: ManualClock) -> bool:
    await clock.advance(0.1)
    return await _running(client)


async def test_a_held_market_closes_no_candles_and_its_ticks_come_in_time() -> None:
    """Market time stands still while it is held: no clock goes out, and after it no trade is late for its candle."""
    clock = ManualClock()
    async with serving(clock=clock, journal="memory") as (server, client):
        await soon(lambda: _ticked(client, clock))
        await command(client, "PAUSE")
        before = server.runtime.journal.head
        await clock.advance(30)
        assert server.runtime.journal.head == before
        await command(client, "RESUME")
        await soon(lambda: _ticked(client, clock))
        for _ in range(50):
            await clock.advance(0.2)
        assert server.runtime.journal.head > before
        assert not any(server.runtime.chronicle.stats().late.values())


async def test_a_feed_from_outside_has_no_hands_and_no_model() -> None:
    """Said so, not ignored."""
    async with serving(feed="http") as (_, client):
        assert (await client.get("/v1/simulator")).json()["state"] == "waiting"
        response = await client.post("/v1/simulator", json={"command": "PAUSE"})
        assert (response.status_code, "comes from outside" in response.json()["detail"]) == (400, True)
        assert (await client.get("/v1/simulator/model")).status_code == 404
        assert (await client.put("/v1/simulator/model", content=encode(built_in()))).status_code == 400


async def test_a_replay_is_paused_stepped_and_sought(tmp_path: Path) -> None:
    """Through the same hands; backwards the recording plays again, its times moved on by a day."""
    path = tmp_path / "A.csv"
    path.write_text("ts_ns,price\n" + "".join(f"{(1_767_366_000 + row) * 10**9},{row}\n" for row in range(100)))
    clock = ManualClock()
    async with serving(feed=f"replay:{path}", clock=clock) as (server, client):

        async def price(wanted: float) -> bool:
            await clock.advance(0.05)  # a sleeping pace heeds its hands so often
            return server.runtime.hub.board.prices().get("A") == wanted

        await soon(lambda: price(0))
        await command(client, "PAUSE")
        await command(client, "STEP=3")
        await soon(lambda: price(3))
        await command(client, "SEEK=2026-01-02T15:00:50Z")
        await soon(lambda: price(50))
        state = await command(client, "SEEK=2026-01-02T15:00:10Z")
        assert state["state"] == "paused"
        await soon(lambda: price(10))
        assert (await client.get("/v1/simulator")).json()["time"] == (1_767_366_010 + 86_400) * 10**6
        await command(client, "SPEED=0")
        await command(client, "RESUME")
        await soon(lambda: price(99))
        await soon(lambda: _halted(client))
        response = await client.post("/v1/simulator", json={"command": "PAUSE"})
        assert "has come to its end" in response.json()["detail"]
        assert "START plays it from its start" in response.json()["hint"]


async def test_a_recording_that_has_ended_can_be_started_and_sought_again(tmp_path: Path) -> None:
    """Each time with times moved on by a day; ids grow and nothing of before is lost. In a named journal too."""
    path = tmp_path / "A.csv"
    path.write_text("ts_ns,price\n" + "".join(f"{(1_767_366_000 + row) * 10**9},{row}\n" for row in range(5)))
    options = {"feed": f"replay:{path}", "speed": 0, "journal": f"sqlite:{tmp_path / 'kept'}"}

    async def ends(client: httpx2.AsyncClient, text: str = "STATUS") -> bool:
        if text != "STATUS":
            await command(client, text)
        await soon(lambda: _halted(client))
        return True

    async with serving(**options) as (server, client):
        await ends(client)
        state = await command(client, "SEEK=2026-01-02T15:00:02Z")
        assert state["state"] == "paused"
        await soon(lambda: _shows(client, 2))
        await ends(client, "RESUME")
        await ends(client, "START")
        async with open_stream(server.url, {"delivery": "all", "since": "earliest"}) as stream:
            events = await stream.events(15)
        assert [event.data["last"] for event in events] == [0, 1, 2, 3, 4] * 3
        assert [event.data["ts"] // 86_400_000_000 - 20_455 for event in events] == [0] * 5 + [1] * 5 + [2] * 5
    async with serving(**options) as (server, client):
        await ends(client)
        await ends(client, "START")
        assert (await client.get("/v1/quotes/A")).json()["ts"] // 86_400_000_000 == 20_455 + 3


async def _shows(client: httpx2.AsyncClient, price: float) -> bool:
    return bool((await client.get("/v1/quotes/A")).json()["last"] == price)


async def _halted(client: httpx2.AsyncClient) -> bool:
    return bool((await client.get("/v1/simulator")).json()["state"] == "halted")


async def test_halts_are_told_for_each_symbol() -> None:
    """A status for the symbol, then one for the feed that lists it, so that late readers know too."""
    halt = str(EXAMPLES / "scenarios" / "halt.toml")
    async with (
        serving(speed=200, scenario=halt) as (server, _),
        open_stream(server.url, {"events": "status"}) as stream,
    ):
        symbols: list[tuple[str, str]] = []
        while len(symbols) < 6:
            (status,) = await stream.events(1, name="status")
            if status.data["symbol"]:
                symbols.append((status.data["symbol"], status.data["state"]))
        (status,) = await stream.events(1, name="status")
    assert symbols[0] == ("AAPL", "halted")
    assert sorted(symbols[1:3]) == [("BTC-USD", "halted"), ("ETH-USD", "halted")]
    assert sorted(symbols[3:]) == [("AAPL", "running"), ("BTC-USD", "running"), ("ETH-USD", "running")]
    assert status.data["halted"] == []


async def test_a_model_is_swapped_under_load_without_a_jump() -> None:
    """Fifty readers of everything stay connected while models come and go; no price moves more than a step may."""
    async with serving(rate=20) as (server, client), contextlib.AsyncExitStack() as stack:
        streams = [await stack.enter_async_context(open_stream(server.url)) for _ in range(50)]
        newest: dict[str, float] = {}
        for version in range(5):
            for event in await streams[0].events(800):
                last, known = event.data["last"], newest.get(event.data["symbol"])
                assert known is None or abs(last / known - 1) < 0.01
                newest[event.data["symbol"]] = last
            model = another(str(version), volatility=0.1 + version / 10, market=version / 10, jumps=None)
            response = await client.put("/v1/simulator/model", content=encode(model))
            assert response.json()["model"]["version"] == str(version)
            assert (await client.get("/v1/simulator/model")).content == encode(model)
        state = (await client.get("/v1/simulator")).json()
        assert state["model"]["swaps"] == 5
        assert len((await client.get("/v1/clients")).json()) == 50
        for stream in streams[1:]:
            await stream.events(800)


async def test_a_bad_model_leaves_the_old_one_says_why_and_is_counted() -> None:
    """To who sent it, to who reads statuses, and in the state."""
    async with serving() as (server, client), open_stream(server.url, {"events": "status"}) as stream:
        wrong = encode(built_in()).replace(b'"volatility":0.28', b'"volatility":-1', 1)
        response = await client.put("/v1/simulator/model", content=wrong)
        assert response.status_code == 400
        assert response.json()["field"] == "symbols[0].volatility"
        says = "symbols[0].volatility = -1: expected"
        (status,) = await stream.events(1, name="status")
        while status.data["notice"] is None:
            (status,) = await stream.events(1, name="status")
        assert says in status.data["notice"]
        state = (await client.get("/v1/simulator")).json()
        assert (state["model"]["version"], state["model"]["rejected"]) == ("built-in", 1)
        assert says in state["notice"]
        model = another('a "second"\none')
        assert (await client.put("/v1/simulator/model", content=encode(model))).status_code == 200
        lines = (await client.get("/metrics")).text.splitlines()
        assert r'tickwire_model{version="a \"second\"\none"} 1' in lines
        assert 'tickwire_models_total{outcome="rejected"} 1' in lines
        assert 'tickwire_models_total{outcome="swaps"} 1' in lines


CRASH = 'name = "crash"\n[[event]]\nat = "0s"\ndo = "halt"\nsymbols = ["AAPL"]\n'


async def test_a_scenario_begins_and_ends_while_the_market_runs() -> None:
    """Every reader of statuses is told; what it held trades again when it ends; a bad one changes nothing."""
    async with serving() as (server, client), open_stream(server.url, {"events": "status"}) as stream:
        await soon(lambda: _running(client))
        assert (await client.get("/v1/simulator")).json()["scenario"] is None
        begun = await client.put("/v1/simulator/scenario", content=CRASH)
        assert begun.json()["scenario"] == "crash"
        await _told(stream, scenario="crash", halted=["AAPL"])
        wrong = await client.put("/v1/simulator/scenario", content=CRASH.replace("halt", "jump"))
        assert (wrong.status_code, wrong.json()["field"]) == (400, "event[0].do")
        assert (await client.get("/v1/simulator")).json()["scenario"] == "crash"
        assert (await client.delete("/v1/simulator/scenario")).json()["scenario"] is None
        await _told(stream, scenario=None, halted=[])
        assert (await client.put("/v1/simulator/scenario", content=b"\xff")).status_code == 400


async def test_a_scenario_is_as_durable_as_it_was_answered(tmp_path: Path) -> None:
    """Put while the market stands still, ended while it stands still: the next start does as was said last."""
    options = {"journal": f"sqlite:{tmp_path / 'j'}", "data": tmp_path, "feed": "simulator"}
    async with serving(**options) as (_, client):
        await soon(lambda: _running(client))
        await command(client, "PAUSE")
        assert (await client.put("/v1/simulator/scenario", content=CRASH)).json()["scenario"] == "crash"
    async with serving(**options) as (server, client), open_stream(server.url, {"events": "status"}) as stream:
        assert (await client.get("/v1/simulator")).json()["scenario"] == "crash"
        await _told(stream, scenario="crash", halted=["AAPL"])
        await command(client, "PAUSE")
        assert (await client.delete("/v1/simulator/scenario")).json()["scenario"] is None
    async with serving(**options) as (server, client), open_stream(server.url, {"events": "status"}) as stream:
        assert (await client.get("/v1/simulator")).json()["scenario"] is None
        await _told(stream, scenario=None, halted=[])


async def _told(stream: WireStream, **said: Any) -> None:
    """Read statuses of the feed until one says this."""
    status: dict[str, Any] = {}
    while any(status.get(name, said) != value for name, value in said.items()):
        (event,) = await stream.events(1, name="status")
        status = event.data


async def test_a_feed_says_what_it_can_be_told(tmp_path: Path) -> None:
    """A simulation has no past to go to, what comes from outside takes no commands, what has ended can begin anew."""
    plain = ["START", "PAUSE", "RESUME", "STOP", "STEP", "SPEED"]
    async with serving() as (_, client):
        assert (await client.get("/v1/simulator")).json()["commands"] == plain
    async with serving(feed="http") as (_, client):
        assert (await client.get("/v1/simulator")).json()["commands"] == []
        answer = await client.put("/v1/simulator/scenario", content=CRASH)
        assert (answer.status_code, "only the simulator" in answer.text) == (400, True)
    path = tmp_path / "one.csv"
    path.write_text("time,symbol,price\n2026-01-02T15:00:00Z,A,1\n2026-01-02T15:00:01Z,A,2\n")
    async with serving(feed=f"replay:{path}", speed=1) as (_, client):
        assert (await client.get("/v1/simulator")).json()["commands"] == [*plain, "SEEK"]
        await command(client, "SPEED=0")
        await soon(lambda: _halted(client))
        assert (await client.get("/v1/simulator")).json()["commands"] == ["START", "STEP", "SPEED", "SEEK"]


async def _version(client: httpx2.AsyncClient, version: str) -> bool:
    return bool((await client.get("/v1/simulator")).json()["model"]["version"] == version)


async def test_a_model_file_is_picked_up_when_it_changes(tmp_path: Path) -> None:
    """A new version, a broken one that changes nothing, a file that is gone for a while, and the next version."""
    path = tmp_path / "model.json"
    path.write_bytes(encode(another("one")))
    async with serving(model=str(path), model_poll=0.02) as (_, client):
        assert await _version(client, "one")
        path.write_bytes(encode(another("two")))
        await soon(lambda: _version(client, "two"))
        path.write_text("{")
        await soon(lambda: _counted(client, "rejected"))
        assert await _version(client, "two")
        path.unlink()
        await soon(lambda: _counted(client, "unreachable"))
        path.write_bytes(encode(another("three")))
        await soon(lambda: _version(client, "three"))
        state = (await client.get("/v1/simulator")).json()
        assert state["model"]["swaps"] == 2
        assert state["notice"] is None


async def _counted(client: httpx2.AsyncClient, name: str) -> bool:
    return bool((await client.get("/v1/simulator")).json()["model"][name])


async def test_a_model_on_a_web_server_is_asked_for_by_its_etag() -> None:
    """Fetched once, then only looked at, until it is another; a server that fails for a while does no harm."""
    models, asked = [another("one")], []

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        del receive
        headers = dict(scope["headers"])
        tag = b'"' + models[-1].version.encode() + b'"'
        status = 503 if len(asked) == 3 else 304 if headers.get(b"if-none-match") == tag else 200
        asked.append(status)
        await send({"type": "http.response.start", "status": status, "headers": [(b"etag", tag)]})
        await send({"type": "http.response.body", "body": encode(models[-1]) if status == 200 else b""})

    async with served(answer) as url, serving(model=f"{url}/model.json", model_poll=0.02) as (_, client):
        await soon(lambda: _counted(client, "unreachable"))
        assert asked[:4] == [200, 304, 304, 503]
        models.append(another("two"))
        await soon(lambda: _version(client, "two"))
        assert asked.count(200) == 2


@contextlib.asynccontextmanager
async def served(app: Any) -> AsyncIterator[str]:
    """An ASGI application on a free port."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_config=None))
    task = asyncio.create_task(server.serve([listener]))
    while not server.started:
        await asyncio.sleep(0)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await task
        listener.close()


@contextlib.contextmanager
def bucket_server() -> Iterator[str]:
    """Moto's S3 server in a thread; its address."""
    moto = pytest.importorskip(
        "moto.server", reason="the S3 server of these tests is moto's: pip install 'moto[server]'"
    )
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        yield "http://{}:{}".format(*server.get_host_and_port())
    finally:
        server.stop()


async def test_a_model_in_a_bucket_is_picked_up_when_it_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put there by an S3 client, read and followed by the server; a missing object is one sentence at the start."""
    obstore = pytest.importorskip("obstore", reason="models in S3 need obstore: pip install 'tickwire[s3]'")
    with bucket_server() as address:
        names = {"ENDPOINT": address, "REGION": "us-east-1", "ACCESS_KEY_ID": "a", "SECRET_ACCESS_KEY": "b"}
        for name, value in names.items():
            monkeypatch.setenv(f"AWS_{name}", value)
        async with httpx2.AsyncClient() as client:
            assert (await client.put(f"{address}/models")).status_code == 200
        store = obstore.store.S3Store("models", client_options={"allow_http": True})
        await asyncio.to_thread(obstore.put, store, "a/model.json", encode(another("one")))
        async with serving(model="s3://models/a/model.json", model_poll=0.05) as (_, client):
            assert await _version(client, "one")
            await asyncio.to_thread(obstore.put, store, "a/model.json", encode(another("two")))
            await soon(lambda: _version(client, "two"))
        with pytest.raises(InputError, match=r"the model s3://models/none\.json cannot be had"):
            async with create_app(journal="memory", model="s3://models/none.json").running():
                pass


async def tickwire(*arguments: object) -> tuple[int, str, str]:
    """Run the command; its exit code, output and errors."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tickwire", *map(str, arguments),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


async def test_the_command_line_drives_a_server(tmp_path: Path) -> None:
    """Pause, speed and another model, each answered with the state after it; mistakes are one line."""
    (tmp_path / "model.json").write_bytes(encode(another("mine")))
    async with ServerProcess("--journal", "memory", cwd=tmp_path) as server:
        calls = [
            (("pause",), 0, "simulator paused · speed 1 · market time 2"),
            (("speed", "0.5"), 0, "simulator paused · speed 0.5"),
            (("model", tmp_path / "model.json"), 0, "· model mine"),
            (("scenario", EXAMPLES / "scenarios" / "crash.toml"), 0, "· scenario "),
            (("scenario",), 0, "· model mine"),
            (("speed", "fast"), 2, "'SPEED=fast': expected a number from 0 to 1000"),
        ]
        for arguments, code, says in calls:
            found = await tickwire("simulator", *arguments, "--url", server.url)
            assert (found[0], says in found[1 if code == 0 else 2]) == (code, True), found
    code, _, err = await tickwire("simulator", "pause", "--url", server.url)
    assert (code, err.count("\n")) == (1, 1)


async def test_calibrate_writes_a_model_and_a_picture(tmp_path: Path) -> None:
    """That `serve` takes; what is wrong with a file is one line."""
    rows = ["date,open,close,volume"]
    rows += [
        f"2026-{1 + day // 28:02d}-{1 + day % 28:02d},{100 + day % 7},{100 + day * 3 % 11},10" for day in range(90)
    ]
    (tmp_path / "ABC.csv").write_text("\n".join(rows) + "\n")
    out, picture = tmp_path / "model.json", tmp_path / "report.svg"
    code, said, _ = await tickwire("calibrate", tmp_path / "ABC.csv", "-o", out, "--report", picture)
    assert code == 0
    assert "ABC" in said
    assert picture.read_text().startswith("<svg")
    async with serving(model=str(out)) as (server, client):
        assert await _version(client, "calibrated 2026-04-06")
        async with open_stream(server.url) as stream:
            (quote,) = await stream.events(1)
        assert quote.data["symbol"] == "ABC"
    code, _, err = await tickwire("calibrate", tmp_path / "none.csv", "-o", out)
    assert (code, err.count("\n"), "there is no file" in err) == (2, 1, True)
