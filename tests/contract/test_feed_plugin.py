"""The example of a feed plugin: it passes the contract suite, and the server finds the installed package."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import tomllib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.contract.vendor_messages import START_S

from tickwire.errors import InputError
from tickwire.feeds import registry
from tickwire.testing.feed_contract import MIN_TICKS, FeedContract, FeedOpener
from tickwire.testing.server import run_server
from tickwire.testing.waiting import wait_until

EXAMPLE = Path(__file__).parents[2] / "examples" / "feed_plugin"
LINES = "".join(
    json.dumps({"symbol": "A", "ts": START_S * 1_000_000 + step, "last": 1.0 + step, "size": 1}) + "\n"
    for step in range(2 * MIN_TICKS)
).encode()


def load_example():
    spec = importlib.util.spec_from_file_location("line_feed", EXAMPLE / "line_feed.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
async def address() -> AsyncIterator[str]:
    """The address of a server that sends LINES in two parts, and then nothing."""
    handlers = set[asyncio.Task]()

    async def send(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handlers.add(asyncio.current_task())
        with contextlib.closing(writer), contextlib.suppress(ConnectionError):
            writer.write(LINES[: len(LINES) // 2])
            await writer.drain()
            writer.write(LINES[len(LINES) // 2 :])
            await reader.read()

    async with await asyncio.start_server(send, "127.0.0.1", 0) as server:
        yield "{}:{}".format(*server.sockets[0].getsockname())
        server.close()
        await asyncio.gather(*handlers, return_exceptions=True)


class TestLineFeed(FeedContract):
    is_finite = False

    @pytest.fixture
    def open_feed(self, address: str) -> FeedOpener:
        example = load_example()
        return lambda clock: example.LineFeed(address, clock)


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Return a function that installs a package with an entry point, as pip does."""
    registry._load_plugin.cache_clear()
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.syspath_prepend(str(EXAMPLE))

    def install_package(entry_point: str) -> None:
        metadata = tmp_path / "line_feed-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: line-feed\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text(f"[tickwire.feeds]\n{entry_point}\n")

    yield install_package
    registry._load_plugin.cache_clear()


async def test_the_server_runs_the_feed_of_an_installed_package(install, address: str) -> None:
    entry_points = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]["entry-points"]
    ((name, value),) = entry_points[registry.PLUGIN_GROUP].items()
    install(f"{name} = {value}")
    async with run_server(feed=f"lines:{address}") as server:
        await wait_until(lambda: server.runtime.hub.stats().ticks == 2 * MIN_TICKS)
        assert server.runtime.hub.board.last_prices() == {"A": 2.0 * MIN_TICKS}
        assert server.runtime.status.mode == "live"


@pytest.mark.parametrize(
    ("entry_point", "message"),
    [
        ("lines = missing_module:FEED_KIND", "line-feed cannot be loaded: ModuleNotFoundError"),
        ("lines = line_feed:LineFeed", "is not a FeedKind"),
        ("other = line_feed:FEED_KIND", "unknown feed"),
    ],
)
def test_a_faulty_package_is_named(install, entry_point: str, message: str) -> None:
    install(entry_point)
    with pytest.raises(InputError, match=message):
        registry.parse_feed_spec("lines:host:1")


def test_the_example_is_short() -> None:
    assert len((EXAMPLE / "line_feed.py").read_text().splitlines()) <= 60
