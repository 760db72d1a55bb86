"""The page in a real browser: rows that move, a state that is true."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from playwright.async_api import Page, async_playwright

from tickwire.testing.server import ServerProcess

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ARTIFACTS = Path(__file__).parents[2] / "artifacts"

pytestmark = [
    pytest.mark.browser,
    pytest.mark.timeout(90),
    pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine: apt-get install chromium"),
]


@pytest.fixture
async def page():
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        page = await browser.new_page(viewport={"width": 1100, "height": 760})
        page.problems = []
        page.on("pageerror", lambda error: page.problems.append(str(error)))
        yield page
        await browser.close()
        assert not page.problems


async def prices(page: Page) -> dict[str, str]:
    rows = await page.locator("#rows tr").all_inner_texts()
    return {row.split("\t")[0]: row.split("\t")[1] for row in rows}


async def until_state(page: Page, state: str) -> None:
    await page.wait_for_selector(f".connection[data-state={state}]", timeout=30_000)


async def test_rows_change_and_the_state_is_shown(page: Page, tmp_path: Path) -> None:
    """A simulated market moves in the page; a screenshot of it is kept in artifacts/."""
    async with ServerProcess("--seed", "1", cwd=tmp_path) as server:
        await page.goto(server.url)
        await until_state(page, "open")
        assert (await page.inner_text(".mode")).lower() == "simulated"
        (client,) = await page.evaluate("fetch('v1/clients').then((answer) => answer.json())")
        assert client["compression"] == "zstd"  # the browser reads blocks that all readers share
        await page.wait_for_function("document.querySelectorAll('#rows tr').length > 100")
        before = await prices(page)
        await page.wait_for_function(
            "price => document.querySelector('#rows tr td:nth-child(2)').textContent !== price",
            arg=next(iter(before.values())),
        )
        ARTIFACTS.mkdir(exist_ok=True)
        await page.screenshot(path=ARTIFACTS / "page.png")


async def test_a_lost_server_is_shown_and_comes_back(page: Page, tmp_path: Path) -> None:
    """The plug pulled: connecting; plugged in again: live, on the same port, without a reload."""
    options = ("--data", str(tmp_path / "data"))
    server = await ServerProcess(*options, cwd=tmp_path).start()
    port = server.url.rpartition(":")[2]
    await page.goto(server.url)
    await until_state(page, "open")
    await server.kill()
    await until_state(page, "connecting")
    async with ServerProcess(*options, "--port", port, cwd=tmp_path):
        await until_state(page, "open")


async def test_the_api_page_lists_the_stream(page: Page, tmp_path: Path) -> None:
    """/docs shows every path and every parameter of the stream, from the server itself."""
    async with ServerProcess("--feed", "http", cwd=tmp_path) as server:
        await page.goto(f"{server.url}/docs")
        await page.wait_for_function("document.body.innerText.includes('/v1/stream')")
        text = await page.inner_text("body")
        for word in ("/v1/quotes", "/v1/instruments", "/readyz", "last_event_id", "delivery"):
            assert word in text
