"""The page where a token is asked for."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest_asyncio
from playwright.async_api import expect

from tickwire.testing.server import RunningServer, run_server
from tickwire.testing.tokens import SECRET, token


@pytest_asyncio.fixture(loop_scope="session")
async def closed() -> AsyncIterator[RunningServer]:
    """A simulated market for who has a token."""
    async with run_server(feed="simulator", auth="secret", auth_secret=SECRET) as server:
        yield server


async def test_sign_in_see_prices_sign_out(visit, closed) -> None:
    """A wrong token is told as such; a right one shows what it allows, over a reload; then nothing is left."""
    page = await visit(closed.url)
    await page.get_by_label("Token").fill("nonsense")
    await page.keyboard.press("Enter")
    await page.wait_for_selector("text=did not take that token")
    await page.get_by_label("Token").fill(token(symbols=["AAPL", "MSFT"]))
    await page.keyboard.press("Enter")
    await page.wait_for_selector(".lines [data-symbol=AAPL]")
    await page.reload()
    await page.wait_for_selector(".lines [data-symbol=MSFT]")
    assert await page.locator("#count").inner_text() == "2 symbols"
    await page.get_by_role("button", name="Sign out").click()
    await page.wait_for_selector("text=You are signed out.")
    assert await page.evaluate("sessionStorage.length") == 0
    assert len(closed.runtime.hubs) == 0 or not await page.locator(".lines").count()


async def test_no_address_ever_holds_the_token(visit, closed) -> None:
    """Streams are opened with tickets, each good once; also after a reconnect."""
    page = await visit(f"{closed.url}/#/connection")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    text = token()
    await page.get_by_label("Token").fill(text)
    await page.keyboard.press("Enter")
    await page.wait_for_selector(".connection[data-state=open]")
    await page.get_by_role("button", name="Reconnect now").click()
    await expect(page.locator("dt:has-text('Reconnects') + dd")).to_have_text("1")
    streams = [url for url in asked if "/v1/stream" in url]
    assert len({url.partition("ticket=")[2] for url in streams}) == len(streams) >= 2
    assert not [url for url in asked if text in url]


async def test_a_token_that_expires_leads_back(visit) -> None:
    """The stream ends with the token; the page says why, and takes another."""
    async with run_server(feed="simulator", auth="secret", auth_secret=SECRET, auth_leeway=0) as server:
        page = await visit(server.url)
        await page.get_by_label("Token").fill(token(exp=time.time() + 3))
        await page.keyboard.press("Enter")
        await page.wait_for_selector(".lines [data-symbol]")
        await page.wait_for_selector("text=Your token has expired", timeout=10_000)
        assert await page.locator(".lines").count() == 0
        await page.get_by_label("Token").fill(token())
        await page.keyboard.press("Enter")
        await page.wait_for_selector(".lines [data-symbol]")
