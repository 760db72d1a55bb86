"""Models of the simulator: replaced over HTTP, and polled from a file, a web server or a bucket."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest
import uvicorn

from tickwire.app import create_app
from tickwire.core.codec import encode_json
from tickwire.errors import InputError
from tickwire.feeds.feed_controller import MODEL_REJECTED
from tickwire.simulation.model import MarketModel
from tickwire.simulation.universe import built_in_model
from tickwire.testing.feed_server import run_feed_server
from tickwire.testing.ports import find_free_port
from tickwire.testing.waiting import wait_until
from tickwire.testing.wire import open_stream


def modified_model(version: str, **parameters: Any) -> MarketModel:
    """Return the built-in model with another version and other parameters of all symbols."""
    symbols = tuple(msgspec.structs.replace(each, **parameters) for each in built_in_model().symbols)
    return msgspec.structs.replace(built_in_model(), version=version, symbols=symbols)


async def test_a_new_model_causes_no_jump_of_prices() -> None:
    """Fifty readers of everything stay connected while the model changes five times."""
    async with run_feed_server(rate=20) as feed, contextlib.AsyncExitStack() as stack:
        streams = [await stack.enter_async_context(open_stream(feed.server.url)) for _ in range(50)]
        last_prices: dict[str, float] = {}
        for version in range(5):
            for event in await streams[0].next_events(800):
                last, previous = event.data["last"], last_prices.get(event.data["symbol"])
                assert previous is None or abs(last / previous - 1) < 0.01
                last_prices[event.data["symbol"]] = last
            model = modified_model(str(version), volatility=0.1 + version / 10, market=version / 10, jumps=None)
            response = await feed.client.put("/v1/simulator/model", content=encode_json(model))
            assert response.json()["model"]["version"] == str(version)
            assert (await feed.client.get("/v1/simulator/model")).content == encode_json(model)
        assert (await feed.state())["model"]["swaps"] == 5
        assert len((await feed.client.get("/v1/clients")).json()) == 50
        for stream in streams[1:]:
            await stream.next_events(800)


async def test_an_invalid_model_is_rejected_counted_and_published_as_a_notice() -> None:
    async with run_feed_server() as feed, open_stream(feed.server.url, {"events": "status"}) as stream:
        invalid = encode_json(built_in_model()).replace(b'"volatility":0.28', b'"volatility":-1', 1)
        response = await feed.client.put("/v1/simulator/model", content=invalid)
        assert response.status_code == 400
        assert response.json()["field"] == "symbols[0].volatility"
        (status,) = await stream.next_events(1, name="status")
        while status.data["notice"] is None:
            (status,) = await stream.next_events(1, name="status")
        assert status.data["notice"] == MODEL_REJECTED
        state = await feed.state()
        assert (state["model"]["version"], state["model"]["rejected"]) == ("built-in", 1)
        assert state["notice"] == status.data["notice"]
        assert "symbols[0].volatility" in state["notice_detail"]
        model = modified_model('a "second"\none')
        assert (await feed.client.put("/v1/simulator/model", content=encode_json(model))).status_code == 200
        lines = (await feed.client.get("/metrics")).text.splitlines()
        assert r'tickwire_model{version="a \"second\"\none"} 1' in lines
        assert 'tickwire_models_total{outcome="rejected"} 1' in lines
        assert 'tickwire_models_total{outcome="swaps"} 1' in lines


async def test_a_model_file_is_polled(tmp_path: Path) -> None:
    """An invalid or missing file changes nothing, and the next valid version is used."""
    path = tmp_path / "model.json"
    path.write_bytes(encode_json(modified_model("one")))
    async with run_feed_server(model=str(path), model_poll=0.02) as feed:
        assert (await feed.state())["model"]["version"] == "one"
        path.write_bytes(encode_json(modified_model("two")))
        await feed.wait_for_model("two")
        path.write_text("{")
        await feed.wait_for(lambda state: state["model"]["rejected"] > 0)
        assert (await feed.state())["model"]["version"] == "two"
        path.unlink()
        await feed.wait_for(lambda state: state["model"]["unreachable"] > 0)
        path.write_bytes(encode_json(modified_model("three")))
        await feed.wait_for_model("three")
        state = await feed.state()
        assert state["model"]["swaps"] == 2
        assert (state["notice"], state["notice_detail"]) == (None, None)


async def test_a_model_on_a_web_server_is_polled_with_its_etag() -> None:
    """The web server sends each version once. An error of the web server does not change the model."""
    models, statuses = [modified_model("one")], []

    async def serve_model(scope: Any, receive: Any, send: Any) -> None:
        del receive
        headers = dict(scope["headers"])
        etag = b'"' + models[-1].version.encode() + b'"'
        status = 503 if len(statuses) == 3 else 304 if headers.get(b"if-none-match") == etag else 200
        statuses.append(status)
        await send({"type": "http.response.start", "status": status, "headers": [(b"etag", etag)]})
        await send({"type": "http.response.body", "body": encode_json(models[-1]) if status == 200 else b""})

    async with (
        serve_app(serve_model) as url,
        run_feed_server(model=f"{url}/model.json", model_poll=0.02) as feed,
    ):
        await feed.wait_for(lambda state: state["model"]["unreachable"] > 0)
        assert statuses[:4] == [200, 304, 304, 503]
        models.append(modified_model("two"))
        await feed.wait_for_model("two")
        assert statuses.count(200) == 2


@contextlib.asynccontextmanager
async def serve_app(app: Any) -> AsyncIterator[str]:
    """Run an ASGI application on a free port; return its address."""
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
def run_moto(_: Path) -> Iterator[str]:
    """Run Moto's S3 server in a thread; return its address."""
    moto = pytest.importorskip(
        "moto.server", reason="this test needs Moto's S3 server: pip install 'moto[s3]' flask-cors"
    )
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        yield "http://{}:{}".format(*server.get_host_and_port())
    finally:
        server.stop()


@contextlib.contextmanager
def run_versitygw(folder: Path) -> Iterator[str]:
    """Run the S3 server of compose.full.yaml, which stores a bucket in a folder; return its address."""
    if shutil.which("versitygw") is None:
        pytest.skip("not installed: go install github.com/versity/versitygw/cmd/versitygw@latest")
    address = f"127.0.0.1:{find_free_port()}"
    command = ["versitygw", "--access", "a", "--secret", "b", "--port", address, "posix", str(folder)]
    with (
        (folder.parent / "versitygw.log").open("wb") as log,
        subprocess.Popen(command, stdout=log, stderr=log) as server,
    ):
        try:
            yield f"http://{address}"
        finally:
            server.terminate()


async def is_serving(url: str) -> bool:
    with contextlib.suppress(httpx2.TransportError):
        async with httpx2.AsyncClient() as client:
            return bool((await client.get(url)).status_code)
    return False


@pytest.mark.parametrize("run_bucket_server", [run_moto, run_versitygw])
async def test_a_model_in_a_bucket_is_polled(
    run_bucket_server: Callable[[Path], AbstractContextManager[str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A missing object is reported at the start."""
    obstore = pytest.importorskip("obstore", reason="models in S3 need obstore: pip install 'tickwire[s3]'")
    folder = tmp_path / "buckets"
    (folder / "models").mkdir(parents=True)
    with run_bucket_server(folder) as address:
        variables = {"ENDPOINT": address, "REGION": "us-east-1", "ACCESS_KEY_ID": "a", "SECRET_ACCESS_KEY": "b"}
        for name, value in variables.items():
            monkeypatch.setenv(f"AWS_{name}", value)
        await wait_until(lambda: is_serving(address))
        if run_bucket_server is run_moto:
            async with httpx2.AsyncClient() as client:
                assert (await client.put(f"{address}/models")).status_code == 200
        store = obstore.store.S3Store("models", client_options={"allow_http": True})
        await asyncio.to_thread(obstore.put, store, "a/model.json", encode_json(modified_model("one")))
        async with run_feed_server(model="s3://models/a/model.json", model_poll=0.05) as feed:
            assert (await feed.state())["model"]["version"] == "one"
            await asyncio.to_thread(obstore.put, store, "a/model.json", encode_json(modified_model("two")))
            await feed.wait_for_model("two")
        with pytest.raises(InputError, match=r"the model s3://models/none\.json cannot be fetched"):
            async with create_app(journal="memory", model="s3://models/none.json").running():
                pass


async def test_an_address_in_a_file_selects_the_model(tmp_path: Path) -> None:
    """A new address or model is in effect within a poll. An invalid address or model changes nothing."""
    for version in ("one", "two"):
        (tmp_path / version).write_bytes(encode_json(modified_model(version)))
    # Kubernetes replaces a symbolic link when a ConfigMap changes.
    reference = tmp_path / "address"
    for name, content in {"first": "one\n", "second": "two", "bad": "nothing"}.items():
        (tmp_path / name).write_text(str(tmp_path / content))

    def select(name: str) -> None:
        link = tmp_path / "new"
        link.symlink_to(tmp_path / name)
        link.replace(reference)

    select("first")
    async with run_feed_server(model=f"ref:{reference}", model_poll=0.05) as feed:
        assert (await feed.state())["model"]["version"] == "one"
        select("second")
        await feed.wait_for_model("two")
        (tmp_path / "two").write_bytes(encode_json(modified_model("three")))
        await feed.wait_for_model("three")
        select("bad")
        while not (await feed.state())["model"]["unreachable"]:
            await asyncio.sleep(0.01)
        (tmp_path / "nothing").write_text("{}")
        while not (await feed.state())["model"]["rejected"]:
            await asyncio.sleep(0.01)
        assert (await feed.state())["model"]["version"] == "three"
        select("first")
        await feed.wait_for_model("one")
