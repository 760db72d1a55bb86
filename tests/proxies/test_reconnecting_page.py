"""The page of README.md reconnects after a restart and misses no event, in each browser and behind each proxy."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest

from tickwire.testing.browser_process import BROWSERS, open_browser
from tickwire.testing.ports import find_free_port
from tickwire.testing.server import ServerProcess
from tickwire.testing.waiting import wait_until
from tickwire.testing.wire import open_stream

README = Path(__file__).parents[2] / "README.md"
# The longest time between the stop of a server and its restart.
AWAY_S = 5.0


def readme_page(stream_url: str) -> str:
    """Return a page with the script of README.md, which reports each quote to the server of the page."""
    (script,) = re.findall(r"```js\n(let stream, lastId.*?)```", README.read_text(), re.DOTALL)
    for text, replacement in {
        "`/v1/stream?symbols=AAPL,MSFT": f"`{stream_url}/v1/stream?symbols=A&delivery=all",
        "console.log(": "report(",
    }.items():
        assert text in script
        script = script.replace(text, replacement)
    # The reports may arrive in any order.
    return f"<!doctype html><script>const report = ({{ last }}) => fetch('/report?last=' + last);\n{script}</script>"


class PageServer:
    """Serves the page, and collects the prices that the page reports."""

    def __init__(self, html: str) -> None:
        self.prices: set[float] = set()
        self.url = ""
        self._html = html.encode()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            target = (await reader.readuntil(b"\r\n\r\n")).split(b" ")[1].decode()
            self.prices |= {float(text) for text in parse_qs(urlsplit(target).query).get("last", ())}
            body = self._html if target == "/" else b""
            head = ["HTTP/1.1 200 OK", "Content-Type: text/html", f"Content-Length: {len(body)}", "Connection: close"]
            writer.write("\r\n".join([*head, "", ""]).encode() + body)
            await writer.drain()
        writer.close()

    @contextlib.asynccontextmanager
    async def running(self, port: int) -> AsyncIterator[PageServer]:
        async with await asyncio.start_server(self._answer, "127.0.0.1", port):
            yield self


async def publish(url: str, prices: range) -> None:
    async with httpx2.AsyncClient(base_url=url) as client:
        for price in prices:
            answer = await client.post("/v1/quotes", json=[{"symbol": "A", "last": price}])
            assert answer.status_code == 201, answer.text


async def kill_and_restart(server: ServerProcess) -> None:
    await server.kill()
    await server.start()


async def stop_and_restart(server: ServerProcess) -> None:
    await server.stop()
    await server.start()


async def stop_and_return_later(server: ServerProcess) -> None:
    await server.stop()
    await asyncio.sleep(AWAY_S)
    await server.start()


OUTAGES: dict[str, Callable] = {"kill": kill_and_restart, "stop": stop_and_restart, "5 s away": stop_and_return_later}
CASES = [
    pytest.param(
        outage,
        browser,
        proxy,
        marks=() if (outage, browser, proxy) == ("kill", "chromium", "direct") else pytest.mark.long,
    )
    for proxy in ("direct", "nginx", "haproxy", "caddy")
    for browser in BROWSERS
    for outage in OUTAGES
]


@pytest.mark.parametrize(("outage", "browser", "proxy"), CASES)
async def test_page_returns_after_an_outage_and_misses_nothing(
    outage: str, browser: str, proxy: str, run_proxy, tmp_path: Path
) -> None:
    page_port, port = find_free_port(), find_free_port()
    options = (
        "--feed",
        "http",
        "--data",
        str(tmp_path),
        "--port",
        str(port),
        "--cors",
        f"http://127.0.0.1:{page_port}",
    )
    async with contextlib.AsyncExitStack() as stack:
        server = await stack.enter_async_context(ServerProcess(*options, cwd=tmp_path))
        # nginx tries two processes. Here both are the same process, so the page also sees the answer 502.
        url = server.url if proxy == "direct" else await stack.enter_async_context(run_proxy(proxy, port, port))
        page = await stack.enter_async_context(PageServer(readme_page(url)).running(page_port))
        await stack.enter_async_context(open_browser(browser, f"http://127.0.0.1:{page_port}/", tmp_path))
        # The page receives the first price in its snapshot.
        for prices in (range(1), range(1, 3)):
            await publish(server.url, prices)
            await wait_until(lambda prices=prices: page.prices >= {*prices})
        await OUTAGES[outage](server)
        await publish(server.url, range(3, 6))
        await wait_until(lambda: page.prices >= {*range(6)})


@pytest.mark.long
@pytest.mark.parametrize(("limit", "status"), [("--max-per-address", 429), ("--max-readers", 503)])
@pytest.mark.parametrize("browser", BROWSERS)
async def test_page_returns_after_the_server_was_full(browser: str, limit: str, status: int, tmp_path: Path) -> None:
    """The server answers the page with an error until another reader leaves."""
    page_port = find_free_port()
    options = ("--feed", "http", "--journal", "memory", limit, "1", "--cors", f"http://127.0.0.1:{page_port}")
    async with contextlib.AsyncExitStack() as stack:
        server = await stack.enter_async_context(ServerProcess(*options, cwd=tmp_path))
        page = await stack.enter_async_context(PageServer(readme_page(server.url)).running(page_port))
        log = tmp_path / "server.log"
        async with open_stream(server.url) as other:
            await other.next_events(1, name="welcome")
            await stack.enter_async_context(open_browser(browser, f"http://127.0.0.1:{page_port}/", tmp_path))
            await wait_until(lambda: f'"status":{status}' in log.read_text())
        await publish(server.url, range(1))
        await wait_until(lambda: page.prices >= {0})
