"""Tickwire inside another application, and under a plain ASGI server."""

from __future__ import annotations

import asyncio
import contextlib
import socket

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount

import tickwire
from tickwire.settings import Settings
from tickwire.testing.wire import open_stream


@contextlib.asynccontextmanager
async def served(app, **options):
    """Serve `app` with plain uvicorn on a free port; its URL."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, log_config=None, ws="none", timeout_graceful_shutdown=1, **options)
    server = uvicorn.Server(config)
    server.capture_signals = contextlib.nullcontext
    task = asyncio.create_task(server.serve([listener]))
    try:
        while not server.started:
            await asyncio.sleep(0)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await task
        listener.close()


async def check(url: str, mount: str = "") -> None:
    """Publish, read, refuse: everything works below the mount."""
    async with tickwire.Publisher(url + mount) as publisher:
        await publisher.publish([{"symbol": "A", "last": 1.5}])
    async with open_stream(url, {"symbols": "A"}, path=f"{mount}/v1/stream") as stream:
        (event,) = await stream.events(1)
        assert event.data["last"] == 1.5
    async with open_stream(url, {"nonsense": "1"}, path=f"{mount}/v1/stream") as refused:
        assert refused.status == 400
    async with open_stream(url, path=f"{mount}/") as page:
        assert page.status == 200


async def test_one_that_is_not_running_says_what_to_do() -> None:
    """And when to come back, as every 503 does."""
    app = Starlette(routes=[Mount("/market", tickwire.create_app(feed="http"))])
    async with served(app) as url, open_stream(url, path="/market/v1/stream") as answer:
        assert (answer.status, answer.headers["retry-after"]) == (503, "5")


def test_settings_are_given_once() -> None:
    """As a whole or by name: of both, one would be passed over in silence."""
    with pytest.raises(TypeError, match="port would not count"):
        tickwire.create_app(Settings(feed="http"), port=9000)


async def test_mounted_in_another_application() -> None:
    """The stream, the API and the page are below the mount; the other application's lifespan starts and stops it."""
    market = tickwire.create_app(feed="http", journal="memory")

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette):
        async with market.running():
            yield

    app = Starlette(routes=[Mount("/market", market)], lifespan=lifespan)
    async with served(app) as url:
        await check(url, "/market")


async def test_on_its_own_under_a_plain_server() -> None:
    """Its own lifespan is enough."""
    async with served(tickwire.create_app(feed="http", journal="memory")) as url:
        await check(url)


async def test_mounted_and_not_started_it_says_what_is_missing() -> None:
    """A forgotten `running()` is a 503 that names it."""
    app = Starlette(routes=[Mount("/market", tickwire.create_app(feed="http", journal="memory"))])
    async with served(app) as url, open_stream(url, path="/market/v1/quotes") as answer:
        assert answer.status == 503
        assert "app.running()" in (await answer.body())["detail"]


def test_the_public_names_are_there() -> None:
    """`__all__` is sorted, and each name can be had."""
    assert list(tickwire.__all__) == sorted(tickwire.__all__)
    for name in tickwire.__all__:
        assert getattr(tickwire, name).__name__ == name
