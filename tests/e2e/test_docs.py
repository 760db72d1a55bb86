"""The API reference at /docs."""

from __future__ import annotations

import re

from playwright.async_api import Locator, expect

from tickwire.testing.server import run_server
from tickwire.testing.tokens import TEST_SECRET, sign_token
from tickwire.testing.waiting import wait_until


async def test_api_reference_lists_paths_and_stream_parameters(visit, market) -> None:
    """All requests of the page go to the server.

    The function `visit` fails if the page sends a request to another origin.
    """
    page = await visit(f"{market.url}/docs")
    await page.get_by_text("/v1/stream").first.wait_for()
    text = await page.inner_text("body")
    for word in ("/v1/quotes", "/v1/instruments", "/readyz", "last_event_id", "delivery"):
        assert word in text


async def test_try_it_sends_requests_and_shows_answers(visit) -> None:
    """Send a request with a body, a request with a path parameter, and a stream request. Stop ends the stream."""
    async with run_server(auth="secret", auth_secret=TEST_SECRET) as server:
        page = await visit(f"{server.url}/docs")

        async def open_form(path: str, method: str) -> Locator:
            heading = page.locator("h2", has_text=re.compile(f"^{method}{re.escape(path)}$"))
            section = page.locator("section").filter(has=heading)
            await section.get_by_text("Try it").click()
            return section

        publish = await open_form("/v1/quotes", "post")
        await publish.get_by_role("button", name="Send").click()
        await expect(publish.locator("pre").last).to_contain_text("401")
        await page.locator("#token").fill(sign_token("publish"))
        await publish.get_by_role("button", name="Send").click()
        await expect(publish.locator("pre").last).to_contain_text("201")
        quote = await open_form("/v1/quotes/{symbol}", "get")
        await quote.get_by_label("symbol").fill("ACME")
        await quote.get_by_role("button", name="Send").click()
        await expect(quote.locator("pre").last).to_contain_text('"last": 12.5')
        stream = await open_form("/v1/stream", "get")
        await stream.get_by_label("symbols", exact=True).fill("ACME")
        await stream.get_by_role("button", name="Send").click()
        await expect(stream.locator("pre").last).to_contain_text('"symbol":"ACME"')
        await stream.get_by_role("button", name="Stop").click()
        await expect(stream.get_by_role("button", name="Stop")).to_be_disabled()
        await wait_until(lambda: server.runtime.hub.stats().readers == 0)
