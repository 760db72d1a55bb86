"""The example page in a real browser: tickets, resuming, changes of the watchlist, candles."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.async_api import Page

from tickwire.testing.server import ServerProcess
from tickwire.testing.tokens import TEST_SECRET, sign_token

EXAMPLES = Path(__file__).parents[2] / "examples"


class Files(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Log nothing."""


@pytest.fixture
def site() -> Iterator[str]:
    """Serve the examples from another origin than the market's."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Files, directory=str(EXAMPLES))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


async def wait_for_symbols(page: Page, *symbols: str) -> None:
    """Wait until the table has exactly these symbols, each with a price."""
    await page.wait_for_function(
        "symbols => JSON.stringify([...document.querySelectorAll('#rows tr')]"
        ".filter((row) => +row.cells[1].textContent > 0).map((row) => row.cells[0].textContent)) === symbols",
        arg=str(list(symbols)).replace("'", '"').replace(" ", ""),
    )


async def test_example_page_resumes_after_a_restart_and_an_expiring_token(
    open_profile, site: str, tmp_path: Path
) -> None:
    """Every connection uses a new ticket and the last event id, and keeps the changed watchlist."""
    options = ("--data", str(tmp_path), "--auth", "secret", "--auth-secret", TEST_SECRET, "--cors", site)
    page = await (await open_profile()).new_page()
    async with ServerProcess(*options, cwd=tmp_path) as server:
        gaps: list[str] = []
        page.on("console", lambda message: gaps.append(message.text) if message.type == "warning" else None)
        await page.goto(f"{site}/watchlist.html?server={server.url}#{sign_token()}")
        await wait_for_symbols(page, "AAPL", "BTC-USD")
        await page.fill("#symbol", "msft")
        await page.click("text=Watch")
        await wait_for_symbols(page, "AAPL", "BTC-USD", "MSFT")
        await page.click("tr:has-text('AAPL') button")
        await wait_for_symbols(page, "BTC-USD", "MSFT")
        await page.wait_for_selector("tr:has-text('MSFT') path", state="attached")

        await server.kill()
        await page.wait_for_selector("#state[data-state=connecting]")
        port = server.url.rpartition(":")[2]
        async with ServerProcess(*options, "--port", port, cwd=tmp_path):
            await page.wait_for_selector("#state[data-state=live]")
            await wait_for_symbols(page, "BTC-USD", "MSFT")
            before = await page.evaluate("opened")
            await page.evaluate("stream.dispatchEvent(new MessageEvent('expiring', { data: '{\"in_ms\":100}' }))")
            await page.wait_for_function("before => opened > before && stream.readyState === 1", arg=before)
            await wait_for_symbols(page, "BTC-USD", "MSFT")
            assert gaps == []
