"""The chart: what forms, what was, and that there is no seam between the two."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterable
from pathlib import Path

import httpx2
from playwright.async_api import Locator, Page, expect

from tickwire.testing.server import ServerProcess, run_server

SECOND = 1_000_000  # microseconds
LOST = "Connection lost: who comes and goes now is not named"
MIDNIGHT = 1_767_571_200 * SECOND  # Monday, 5 January 2026, in UTC
TOLD = re.compile(r"(?P<time>.+): Open (?P<open>\S+) High (\S+) Low (\S+) Close (?P<close>\S+) Volume (?P<volume>\S+)")


async def publish(url: str, ticks: Iterable[dict]) -> None:
    async with httpx2.AsyncClient() as client:
        answer = await client.post(f"{url}/v1/quotes", json=list(ticks))
        assert answer.status_code == 201, answer.text


def trades(start: int, prices: Iterable[float], *, step: int = SECOND, symbol: str = "ACME") -> list[dict]:
    return [{"symbol": symbol, "ts": start + at * step, "last": price, "size": 100} for at, price in enumerate(prices)]


async def pointed(page: Page, key: str) -> dict[str, str]:
    """What is told of the bar that a key leads to."""
    await page.press(".canvas", key)
    told = TOLD.fullmatch(await page.inner_text(".drawn > [role=status]"))
    assert told is not None
    return told.groupdict()


async def closes(page: Page, count: int) -> list[str]:
    """Closing prices of so many bars, up to the newest."""
    await page.press(".canvas", "Escape")
    bars = [await pointed(page, "ArrowLeft") for _ in range(count)]
    return [bar["close"] for bar in reversed(bars)]


def legend(page: Page, name: str) -> Locator:
    return page.locator(".legend div").filter(has=page.locator(f"dt[title={name}]")).locator("dd")


async def test_a_bar_forms_with_every_trade_and_the_next_one_follows(visit) -> None:
    """A deep link shows the past; a trade is seen in the forming bar, and one of the next minute opens another."""
    async with run_server() as server:
        await publish(server.url, trades(MIDNIGHT, [10, 12, 9, 11]))
        page = await visit(f"{server.url}/#/chart/ACME/1m")
        await expect(legend(page, "Close")).to_have_text("11.00")
        await publish(server.url, trades(MIDNIGHT + 30 * SECOND, [13.5]))
        await expect(legend(page, "High")).to_have_text("13.50")
        await expect(legend(page, "Volume")).to_have_text("500")
        await publish(server.url, trades(MIDNIGHT + 60 * SECOND, [14]))
        await expect(legend(page, "Open")).to_have_text("14.00")
        await expect(page.locator(".price strong")).to_have_text("14.00")
        assert await closes(page, 2) == ["13.50", "14.00"]
        assert (await pointed(page, "Home"))["volume"] == "500"


async def test_scrolling_back_brings_all_that_was(visit, tmp_path: Path) -> None:
    """Pages of older candles are asked for until there are none, each of them once."""
    asked = []
    async with run_server(journal=f"sqlite:{tmp_path}/journal") as server:
        await publish(server.url, trades(MIDNIGHT, range(100, 2100)))
        page = await visit(f"{server.url}/healthz")
        page.on("request", lambda request: asked.append(request.url) if "/v1/candles" in request.url else None)
        await page.goto(f"{server.url}/#/chart/ACME/1s")
        await expect(legend(page, "Close")).to_have_text("2,099.00")
        while len(asked) < 3:
            await page.press(".canvas", "-")
        async with asyncio.timeout(10):
            while (await pointed(page, "Home"))["open"] != "100.00":
                pass  # the answer is on its way
        assert len(asked) == 3  # 600, 1,000 and the last 400
        await page.get_by_role("button", name="Newest").click()
        await expect(page.get_by_role("button", name="Newest")).to_have_count(0)


async def test_a_restarted_server_leaves_no_seam(visit, tmp_path: Path) -> None:
    """What closed, came and went while nobody could hear is right once they can: each bar in its place, and once."""
    options = ("--feed", "http", "--data", str(tmp_path / "data"))
    server = await ServerProcess(*options, cwd=tmp_path).start()
    await publish(server.url, trades(MIDNIGHT, [1, 2, 3]) + trades(MIDNIGHT, [6], symbol="LOW"))
    chart = await visit(f"{server.url}/#/chart/ACME/1s")
    screen = await visit(f"{server.url}/#/screener?filter=last>5")
    await expect(legend(chart, "Close")).to_have_text("3.00")
    await expect(screen.locator("tr[data-symbol=LOW]")).to_be_visible()
    await server.kill()
    async with ServerProcess(*options, "--port", server.url.rpartition(":")[2], cwd=tmp_path) as again:
        await publish(again.url, trades(MIDNIGHT + 3 * SECOND, [4, 5, 6, 7]) + trades(MIDNIGHT, [1], symbol="LOW"))
        await expect(legend(chart, "Close")).to_have_text("7.00")
        async with asyncio.timeout(10):
            while await closes(chart, 7) != [f"{price}.00" for price in range(1, 8)]:
                pass  # the one that forms may be seen before those that closed
        await expect(screen.locator("tr[data-symbol=ACME]")).to_be_visible()
        await expect(screen.locator("tr[data-symbol=LOW]")).to_have_count(0)
        told = [" ".join(line.split()[1:]) for line in await screen.locator(".moves li").all_inner_texts()]
        assert told[-3:] == ["Connected again", LOST, "The whole set: 1"]  # the newest first
        await screen.evaluate("location.hash = '#/connection'")
        await expect(screen.locator(".found")).to_have_count(0)
        assert "last > 5" not in [each["filter"] for each in await subscriptions(again.url)]  # its stream has ended


SHOWN = {
    ("1m", "Asia/Kolkata"): "Mon, Jan 5, 05:30",
    ("1d", "America/New_York"): "Mon, Jan 5, 2026",
}


async def test_times_are_the_viewers_and_days_the_sessions(visit) -> None:
    """A minute is told in the zone one is in; a day's candle has its session's date wherever one is."""
    async with run_server() as server:
        await publish(server.url, trades(MIDNIGHT, [10]))
        for (interval, zone), shown in SHOWN.items():
            page = await visit(f"{server.url}/#/chart/ACME/{interval}", timezone_id=zone)
            await expect(legend(page, "Close")).to_have_text("10.00")
            assert (await pointed(page, "ArrowLeft"))["time"] == shown


async def test_a_symbol_that_has_not_traded_says_so_and_begins(visit) -> None:
    """An empty chart explains itself, and goes away with the first trade."""
    async with run_server() as server:
        page = await visit(f"{server.url}/#/chart/NEWCO/5s")
        await expect(page.locator(".note.over")).to_contain_text("NEWCO is not known here yet")
        await publish(server.url, trades(time.time_ns() // 1000, [12.5], symbol="NEWCO"))
        await expect(legend(page, "Open")).to_have_text("12.50")
        await expect(page.locator(".note.over")).to_have_count(0)


MEANT = {
    "aapl": ["AAPL"],  # another case
    "AAPLE": ["AAPL"],
    "NVAD": ["NVDA"],  # two letters turned round
    "BTC": ["BTC-USD", "BAC"],  # another ending, another letter
    "NOSUCH": [],
}


async def test_a_symbol_that_is_misspelt_has_those_near_it(visit, market) -> None:
    """To go to, at the interval that was asked for; nothing is offered for what is near nothing."""
    page = await visit(f"{market.url}/#/chart/XXXXXXXX/5s")
    for typed, meant in MEANT.items():
        await page.evaluate("hash => { location.hash = hash }", f"#/chart/{typed}/5s")
        await expect(page.locator(".note.over")).to_contain_text(f"{typed} is not known here yet")
        await expect(page.locator(".near a")).to_have_text(meant)
    await page.evaluate("location.hash = '#/chart/APPL/5s'")
    await page.locator(".near").get_by_role("link", name="AAPL").click()
    await expect(page).to_have_url(f"{market.url}/#/chart/AAPL/5s")
    await expect(legend(page, "Close")).to_be_visible()


async def test_another_symbol_and_interval_by_keyboard(visit, market) -> None:
    """Typing a name finds it, Enter goes there, arrows change the interval; only the chart in sight has a stream."""
    page = await visit(f"{market.url}/#/chart/AAPL/1s")
    await expect(page.locator(".legend")).to_be_visible()
    await page.focus("#symbol")
    await page.keyboard.type("micros")
    await expect(page.locator("#symbol")).to_have_attribute("aria-activedescendant", "symbols-found-0")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Chart MSFT")
    await page.get_by_role("radio", name="1s", exact=True).press("ArrowRight")
    await expect(page).to_have_url(f"{market.url}/#/chart/MSFT/5s")
    await expect(page.locator(".legend")).to_be_visible()
    assert [each["candles"] for each in await subscriptions(market.url) if each["candles"]] == ["5s"]
    await page.evaluate("location.hash = '#/board'")
    await expect(page.locator(".lines [data-symbol]").first).to_be_visible()
    await page.evaluate("location.hash = '#/chart'")  # the one that was looked at last
    await expect(page).to_have_url(f"{market.url}/#/chart/MSFT/5s")


async def subscriptions(url: str) -> list[dict]:
    """What the connected readers asked for."""
    async with httpx2.AsyncClient() as client:
        return [each["subscription"] for each in (await client.get(f"{url}/v1/clients")).json()]
