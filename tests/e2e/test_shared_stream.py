"""The JavaScript client in a browser: all tabs share one stream, and the end of a tab loses no event of the others."""

from __future__ import annotations

import json
from pathlib import Path

import httpx2
import pytest
from playwright.async_api import BrowserContext, Page
from tests.e2e.client_page import JS_CLIENT, START

from tickwire.testing.server import ServerProcess
from tickwire.testing.waiting import wait_until

pytestmark = pytest.mark.skipif(
    not (JS_CLIENT / "index.js").exists(), reason="not built: python dashboard/build.py --folder clients/js"
)


async def open_tab(profile: BrowserContext, site: str, server: str, **options: object) -> Page:
    page = await profile.new_page()
    await page.goto(f"{site}/")
    await page.evaluate(START, [server, options])
    return page


async def wait_for_prices(page: Page, expected: dict[str, list[float]]) -> None:
    """Wait until a tab has received exactly these prices of each symbol, in this order."""

    async def received() -> bool:
        prices = await page.evaluate("prices")
        too_many = [name for name in prices if len(prices[name]) > len(expected.get(name, []))]
        assert not too_many, json.dumps(prices)
        return bool(prices == expected)

    await wait_until(received)


@pytest.mark.parametrize("sharing", ["worker", "leader"])
async def test_three_tabs_share_one_stream_and_survive_the_leading_tab(
    open_profile, client_site: str, tmp_path: Path, sharing: str
) -> None:
    """Without SharedWorker, one tab holds the stream for the others, and another tab follows when it is closed."""
    options = ("--feed", "http", "--journal", "memory", "--cors", client_site)
    async with ServerProcess(*options, cwd=tmp_path) as server, httpx2.AsyncClient(base_url=server.url) as http:

        async def publish(*ticks: tuple[str, float]) -> None:
            body = [{"symbol": symbol, "last": last, "size": 1} for symbol, last in ticks]
            (await http.post("/v1/quotes", json=body)).raise_for_status()

        async def streams() -> list[dict[str, object]]:
            return list((await http.get("/v1/clients")).json())

        await publish(("A", 1), ("B", 1), ("C", 1))
        profile = await open_profile()
        if sharing == "leader":
            await profile.add_init_script("delete window.SharedWorker")
        exact = {"delivery": "all", "events": ["quote", "message"]}
        leading = await open_tab(profile, client_site, server.url, symbols=["A"], **exact)
        await wait_for_prices(leading, {"A": [1]})
        second = await open_tab(profile, client_site, server.url, symbols=["A", "B"], **exact)
        third = await open_tab(profile, client_site, server.url, symbols=["C"], **exact)
        await wait_for_prices(second, {"A": [1], "B": [1]})
        await wait_for_prices(third, {"C": [1]})
        assert await leading.evaluate("client.status().sharing") == sharing
        (stream,) = await streams()
        assert stream["subscription"]["symbols"] == ["A", "B", "C"]

        await publish(*((symbol, price) for price in range(2, 30) for symbol in "ABC"))
        await leading.close()
        for price in range(30, 60):
            await publish(*((symbol, price) for symbol in "ABC"))
        (await http.post("/v1/messages", json={"event": "note", "data": 1, "target": None})).raise_for_status()
        every = list(range(1, 60))
        await wait_for_prices(second, {"A": every, "B": every})
        await wait_for_prices(third, {"C": every})
        await wait_until(lambda: third.evaluate("messages.length === 1"))

        async def has_one_stream_of_two_tabs() -> bool:
            subscriptions = [stream["subscription"]["symbols"] for stream in await streams()]
            return subscriptions == [["A", "B", "C"]]

        await wait_until(has_one_stream_of_two_tabs)
        await second.evaluate("client.remove('A')")

        async def symbols_shrink() -> bool:
            return [stream["subscription"]["symbols"] for stream in await streams()] == [["B", "C"]]

        await wait_until(symbols_shrink)
