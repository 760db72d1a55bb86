"""The custom elements of the JavaScript client: `<tickwire-ticker>` and `<tickwire-chart>`."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.async_api import expect
from tests.e2e.client_page import JS_CLIENT

from tickwire.testing.server import run_server

pytestmark = pytest.mark.skipif(
    not (JS_CLIENT / "elements.js").exists(), reason="not built: python dashboard/build.py --folder clients/js"
)


async def test_elements_show_live_prices_and_candles(open_profile, client_site: str, artifacts: Path) -> None:
    """A changed attribute shows another symbol. A removed element ends its subscription."""
    async with run_server(feed="simulator", seed=1, rate=20, cors=client_site) as server:
        page = await (await open_profile()).new_page()
        await page.goto(f"{client_site}/")
        await page.evaluate("import('./elements.js').then(() => undefined)")
        await page.evaluate(
            """server => { document.body.innerHTML = `
              <tickwire-ticker symbols="AAPL, MSFT" server="${server}"></tickwire-ticker>
              <tickwire-chart symbol="AAPL" interval="1s" server="${server}"></tickwire-chart>` }""",
            server.url,
        )
        ticker, chart = page.locator("tickwire-ticker"), page.locator("tickwire-chart")
        rows = ticker.locator("[part=row]")
        await expect(rows).to_have_count(2)
        await expect(rows.nth(1)).to_have_text(re.compile(r"MSFT\d+(\.\d+)?[+-]?\d+\.\d+%"))
        await expect(chart.locator("rect").nth(2)).to_be_attached()
        await expect(chart.locator("svg")).to_have_attribute("aria-label", re.compile(r"AAPL: \d"))
        await page.screenshot(path=artifacts / "elements.png")
        await ticker.evaluate("node => node.setAttribute('symbols', 'BTC-USD')")
        await expect(rows).to_have_text(re.compile(r"BTC-USD\d"))
        await page.evaluate("document.body.replaceChildren()")
        count = "url => fetch(url).then((answer) => answer.json()).then((clients) => clients.length)"
        while await page.evaluate(count, f"{server.url}/v1/clients") > 0:
            pass
