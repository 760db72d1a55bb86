"""Signing in and out."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator

import pytest_asyncio
from playwright.async_api import expect

from tickwire.testing.server import RunningServer, run_server
from tickwire.testing.tokens import TEST_SECRET, sign_token


@pytest_asyncio.fixture(loop_scope="session")
async def protected() -> AsyncIterator[RunningServer]:
    """A simulated market that requires a token."""
    async with run_server(feed="simulator", auth="secret", auth_secret=TEST_SECRET) as server:
        yield server


async def test_sign_in_and_out(visit, protected) -> None:
    """A valid token survives a reload and shows only its symbols; signing out deletes it."""
    page = await visit(protected.url)
    await page.get_by_label("Token").fill("nonsense")
    await page.keyboard.press("Enter")
    await page.wait_for_selector("text=rejected the token: the token is not a JSON Web Token")
    await expect(page.get_by_label("Token")).to_have_value("nonsense")
    # Enter the whole Authorization header instead of the token. The token lacks a right that the board needs.
    await page.get_by_label("Token").fill(f"Authorization: Bearer {sign_token(events=['status'])}")
    await page.keyboard.press("Enter")
    await page.wait_for_selector("text=does not allow “quote” events")
    await page.get_by_role("button", name="Sign out").click()
    await expect(page.get_by_label("Token")).to_have_value("")
    await page.get_by_label("Token").fill(f"bearer {sign_token(symbols=['AAPL', 'MSFT'])}")
    await page.keyboard.press("Enter")
    await page.wait_for_selector(".lines [data-symbol=AAPL]")
    await page.reload()
    await page.wait_for_selector(".lines [data-symbol=MSFT]")
    await expect(page.locator("#count")).to_have_text("2 symbols")
    await page.get_by_role("button", name="Sign out").click()
    await page.wait_for_selector("text=You are signed out.")
    assert await page.evaluate("sessionStorage.length") == 0
    assert len(protected.runtime.hub_pool) == 0 or not await page.locator(".lines").count()


async def test_no_url_contains_the_token(visit, protected) -> None:
    """Every connection sends the token in a header, also after a reconnect."""
    page = await visit(f"{protected.url}/#/connection", shared_worker=False)
    requests: list[tuple[str, str | None]] = []
    page.on("request", lambda request: requests.append((request.url, request.headers.get("authorization"))))
    text = sign_token()
    await page.get_by_label("Token").fill(text)
    await page.keyboard.press("Enter")
    await page.wait_for_selector(".connection[data-state=open]")
    await page.get_by_role("button", name="Reconnect now").click()
    await expect(page.locator("dt:has-text('Reconnects') + dd")).to_have_text("1")
    streams = [credentials for url, credentials in requests if "/v1/stream" in url]
    assert streams.count(f"Bearer {text}") >= 2
    assert not [url for url, _ in requests if text in url]


async def test_expired_token_shows_the_sign_in_form(visit) -> None:
    """The stream closes when the token expires. The form shows the reason and accepts another token."""
    async with run_server(feed="simulator", auth="secret", auth_secret=TEST_SECRET, auth_leeway=0) as server:
        # The stream must open before the token expires. If a busy machine is slower, the server rejects the token.
        for lifetime_s in (4, 20, 60):
            page = await visit(server.url)
            await page.get_by_label("Token").fill(sign_token(exp=time.time() + lifetime_s))
            await page.keyboard.press("Enter")
            reason = page.get_by_text(re.compile("Your token has expired|rejected the token"))
            await expect(reason).to_be_visible()
            if "expired" in await reason.inner_text():
                break
        assert "expired" in await reason.inner_text()
        await expect(page.locator(".lines")).to_have_count(0)
        await page.get_by_label("Token").fill(sign_token())
        await page.keyboard.press("Enter")
        await page.wait_for_selector(".lines [data-symbol]")
