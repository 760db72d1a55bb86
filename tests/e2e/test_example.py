"""The example page in a real browser: tickets, resume, a watchlist that changes, candles."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.async_api import Page, async_playwright

from tickwire.testing.server import ServerProcess
from tickwire.testing.tokens import SECRET, token

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
EXAMPLES = Path(__file__).parents[2] / "examples"

pytestmark = [
    pytest.mark.browser,
    pytest.mark.timeout(60),
    pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine: apt-get install chromium"),
]


class Files(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Requests are no news."""


@pytest.fixture
def site() -> Iterator[str]:
    """The examples on a web server of their own, so that the page is of another origin than the market."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Files, directory=str(EXAMPLES))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


async def until_symbols(page: Page, *symbols: str) -> None:
    """Until the table has just these, each with a price."""
    await page.wait_for_function(
        "symbols => JSON.stringify([...document.querySelectorAll('#rows tr')]"
        ".filter((row) => +row.cells[1].textContent > 0).map((row) => row.cells[0].textContent)) === symbols",
        arg=str(list(symbols)).replace("'", '"').replace(" ", ""),
    )


async def test_a_page_with_tickets_goes_on_after_a_restart_and_an_expiring_token(site: str, tmp_path: Path) -> None:
    """Each connection has a ticket of its own and the last id; what the watchlist was changed to stays."""
    options = ("--data", str(tmp_path), "--auth", "secret", "--auth-secret", SECRET, "--cors", site)
    server = await ServerProcess(*options, cwd=tmp_path).start()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        page = await browser.new_page()
        gaps: list[str] = []
        page.on("console", lambda said: gaps.append(said.text) if said.type == "warning" else None)
        await page.goto(f"{site}/watchlist.html?server={server.url}#{token()}")
        await until_symbols(page, "AAPL", "BTC-USD")
        await page.fill("#symbol", "msft")
        await page.click("text=Watch")
        await until_symbols(page, "AAPL", "BTC-USD", "MSFT")
        await page.click("tr:has-text('AAPL') button")
        await until_symbols(page, "BTC-USD", "MSFT")
        await page.wait_for_selector("tr:has-text('MSFT') path", state="attached")

        await server.kill()
        await page.wait_for_selector("#state[data-state=connecting]")
        port = server.url.rpartition(":")[2]
        async with ServerProcess(*options, "--port", port, cwd=tmp_path):
            await page.wait_for_selector("#state[data-state=live]", timeout=20_000)
            await until_symbols(page, "BTC-USD", "MSFT")
            before = await page.evaluate("opened")
            await page.evaluate("stream.dispatchEvent(new MessageEvent('expiring', { data: '{\"in_ms\":100}' }))")
            await page.wait_for_function("before => opened > before && stream.readyState === 1", arg=before)
            await until_symbols(page, "BTC-USD", "MSFT")
            assert gaps == []
        await browser.close()
