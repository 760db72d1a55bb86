"""The chart: live candles, older candles, and the transition between the two."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterable
from pathlib import Path

import httpx2
from playwright.async_api import Locator, Page, expect

from tickwire.testing.server import ServerProcess, run_server
from tickwire.testing.waiting import wait_until

SECOND = 1_000_000  # microseconds
LOST = "Connection lost: changes from now on are not listed"
MIDNIGHT = 1_767_571_200 * SECOND  # Monday, 5 January 2026, in UTC
ANNOUNCEMENT = re.compile(
    r"(?P<time>.+): Open (?P<open>\S+) High (\S+) Low (\S+) Close (?P<close>\S+) Volume (?P<volume>\S+)"
)


async def publish(url: str, ticks: Iterable[dict]) -> None:
    async with httpx2.AsyncClient() as client:
        response = await client.post(f"{url}/v1/quotes", json=list(ticks))
        assert response.status_code == 201, response.text


def trades(start: int, prices: Iterable[float], *, step: int = SECOND, symbol: str = "ACME") -> list[dict]:
    return [
        {"symbol": symbol, "ts": start + number * step, "last": price, "size": 100}
        for number, price in enumerate(prices)
    ]


async def bar_at_key(page: Page, key: str) -> dict[str, str]:
    """Press a key and return the announced values of the bar under the crosshair."""
    await page.press(".canvas", key)
    announcement = ANNOUNCEMENT.fullmatch(await page.inner_text(".chart-area > [role=status]"))
    assert announcement is not None
    return announcement.groupdict()


async def closes(page: Page, count: int) -> list[str]:
    """Return the closing prices of the last `count` bars, oldest first."""
    await page.press(".canvas", "Escape")
    bars = [await bar_at_key(page, "ArrowLeft") for _ in range(count)]
    return [bar["close"] for bar in reversed(bars)]


def legend(page: Page, name: str) -> Locator:
    return page.locator(".legend div").filter(has=page.locator(f"dt[title={name}]")).locator("dd")


async def test_trade_updates_the_open_bar_or_starts_the_next(visit) -> None:
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
        assert (await bar_at_key(page, "Home"))["volume"] == "500"


async def test_scrolling_back_loads_all_older_candles(visit, tmp_path: Path) -> None:
    """The chart requests each page of candles once, until no older candles exist."""
    requests = []
    async with run_server(journal=f"sqlite:{tmp_path}/journal") as server:
        await publish(server.url, trades(MIDNIGHT, range(100, 2100)))
        page = await visit(f"{server.url}/healthz")
        page.on("request", lambda request: requests.append(request.url) if "/v1/candles" in request.url else None)
        await page.goto(f"{server.url}/#/chart/ACME/1s")
        await expect(legend(page, "Close")).to_have_text("2,099.00")
        while len(requests) < 3:
            await page.press(".canvas", "-")
        while (await bar_at_key(page, "Home"))["open"] != "100.00":
            pass
        # The pages have 600, 1,000 and the last 400 candles.
        assert len(requests) == 3
        await page.get_by_role("button", name="Newest").click()
        await expect(page.get_by_role("button", name="Newest")).to_have_count(0)


async def test_chart_and_screen_catch_up_after_a_server_restart(visit, tmp_path: Path) -> None:
    """The page shows each bar that closed and each symbol that entered or left during the outage, in order and once."""
    options = ("--feed", "http", "--data", str(tmp_path / "data"))
    async with ServerProcess(*options, cwd=tmp_path) as server:
        await publish(server.url, trades(MIDNIGHT, [1, 2, 3]) + trades(MIDNIGHT, [6], symbol="LOW"))
        chart = await visit(f"{server.url}/#/chart/ACME/1s")
        screen = await visit(f"{server.url}/#/screener?filter=last>5")
        await expect(legend(chart, "Close")).to_have_text("3.00")
        await expect(screen.locator("tr[data-symbol=LOW]")).to_be_visible()
        await server.kill()
        async with ServerProcess(*options, "--port", server.url.rpartition(":")[2], cwd=tmp_path) as restarted:
            await publish(
                restarted.url, trades(MIDNIGHT + 3 * SECOND, [4, 5, 6, 7]) + trades(MIDNIGHT, [1], symbol="LOW")
            )
            await expect(legend(chart, "Close")).to_have_text("7.00")
            while await closes(chart, 7) != [f"{price}.00" for price in range(1, 8)]:
                # Read again, because the open bar may appear before the closed bars.
                pass
            await expect(screen.locator("tr[data-symbol=ACME]")).to_be_visible()
            await expect(screen.locator("tr[data-symbol=LOW]")).to_have_count(0)
            entries = [" ".join(line.split()[1:]) for line in await screen.locator(".screen-log li").all_inner_texts()]
            assert entries[-3:] == ["Reconnected", LOST, "All matches: 1"]
            await screen.evaluate("location.hash = '#/connection'")
            await expect(screen.locator(".matches")).to_have_count(0)

            async def has_no_screen() -> bool:
                return "last > 5" not in [each["filter"] for each in await subscriptions(restarted.url)]

            # Leaving the view closes its stream.
            await wait_until(has_no_screen)


TIME_LABELS = {
    ("1m", "Asia/Kolkata"): "Mon, Jan 5, 05:30",
    ("1d", "America/New_York"): "Mon, Jan 5, 2026",
}


async def test_times_are_local_and_daily_candles_have_session_dates(visit) -> None:
    """A daily candle shows the date of its session in every time zone."""
    async with run_server() as server:
        await publish(server.url, trades(MIDNIGHT, [10]))
        for (interval, zone), label in TIME_LABELS.items():
            page = await visit(f"{server.url}/#/chart/ACME/{interval}", timezone_id=zone)
            await expect(legend(page, "Close")).to_have_text("10.00")
            assert (await bar_at_key(page, "ArrowLeft"))["time"] == label


async def test_empty_chart_explains_itself_until_the_first_trade(visit) -> None:
    async with run_server() as server:
        page = await visit(f"{server.url}/#/chart/NEWCO/5s")
        await expect(page.locator(".note.over")).to_contain_text("Unknown symbol: NEWCO")
        await publish(server.url, trades(time.time_ns() // 1000, [12.5], symbol="NEWCO"))
        await expect(legend(page, "Open")).to_have_text("12.50")
        await expect(page.locator(".note.over")).to_have_count(0)


# The misspellings have a different case, an extra letter, swapped letters, a missing ending or a wrong letter.
SIMILAR = {
    "aapl": ["AAPL"],
    "AAPLE": ["AAPL"],
    "NVAD": ["NVDA"],
    "BTC": ["BTC-USD", "BAC"],
    "NOSUCH": [],
}


async def test_misspelt_symbol_has_links_to_similar_symbols(visit, market) -> None:
    """The links keep the interval of the address."""
    page = await visit(f"{market.url}/#/chart/XXXXXXXX/5s")
    for typed, similar in SIMILAR.items():
        await page.evaluate("hash => { location.hash = hash }", f"#/chart/{typed}/5s")
        await expect(page.locator(".note.over")).to_contain_text(f"Unknown symbol: {typed}")
        await expect(page.locator(".similar a")).to_have_text(similar)
    await page.evaluate("location.hash = '#/chart/APPL/5s'")
    await page.locator(".similar").get_by_role("link", name="AAPL").click()
    await expect(page).to_have_url(f"{market.url}/#/chart/AAPL/5s")
    await expect(legend(page, "Close")).to_be_visible()


async def test_keyboard_changes_symbol_and_interval(visit, market) -> None:
    """Only the visible chart has a stream."""
    page = await visit(f"{market.url}/#/chart/AAPL/1s")
    await expect(page.locator(".legend")).to_be_visible()
    await page.focus("#symbol")
    await page.keyboard.type("micros")
    await expect(page.locator("#symbol")).to_have_attribute("aria-activedescendant", "symbol-matches-0")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Chart MSFT")
    await page.get_by_role("radio", name="1s", exact=True).press("ArrowRight")
    await expect(page).to_have_url(f"{market.url}/#/chart/MSFT/5s")
    await expect(page.locator(".legend")).to_be_visible()
    while [each["candles"] for each in await subscriptions(market.url) if each["candles"]] != ["5s"]:
        await asyncio.sleep(0.05)
    await page.evaluate("location.hash = '#/board'")
    await expect(page.locator(".lines [data-symbol]").first).to_be_visible()
    # Without a symbol in the address, the last chart opens.
    await page.evaluate("location.hash = '#/chart'")
    await expect(page).to_have_url(f"{market.url}/#/chart/MSFT/5s")


async def subscriptions(url: str) -> list[dict]:
    """Return the subscriptions of the connected readers."""
    async with httpx2.AsyncClient() as client:
        return [each["subscription"] for each in (await client.get(f"{url}/v1/clients")).json()]


async def test_chart_and_board_follow_a_seek_backwards(visit, tmp_path: Path) -> None:
    """The chart shows no candle after the new time, and the trend on the board begins again."""
    path = tmp_path / "ACME.csv"
    lines = [f"2026-01-05T15:{at:02d}:00Z,{at + 1}" for at in range(50)]
    path.write_text("\n".join(["time,price", *lines]) + "\n")
    async with (
        run_server(feed=f"replay:{path}", speed=0, journal="memory") as server,
        httpx2.AsyncClient(base_url=server.url) as client,
    ):
        chart = await visit(f"{server.url}/#/chart/ACME/1m")
        board = await visit(f"{server.url}/#/board")
        row = board.locator(".lines [data-symbol=ACME]")
        await expect(legend(chart, "Close")).to_have_text("50.00")
        await expect(row).to_contain_text("50.00")
        (await client.post("/v1/simulator", json={"command": "SEEK=2026-01-05T15:09:00Z"})).raise_for_status()
        await expect(legend(chart, "Close")).to_have_text("10.00")
        await expect(row).to_contain_text("10.00")
        while await closes(chart, 3) != ["8.00", "9.00", "10.00"]:
            # Read again, because the open bar may appear before the closed bars.
            pass
