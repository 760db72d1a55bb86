"""The tools that a trader works with: overview, quote panel, indicators, palette, columns, alerts and messages."""

from __future__ import annotations

import re
from pathlib import Path

import httpx2
from playwright.async_api import Page, expect

from tickwire.testing.server import run_server


async def test_overview_leads_to_the_board_and_to_charts(visit, market) -> None:
    """A sector opens the board with its symbols only, and a list of movers opens the board in its order."""
    page = await visit(f"{market.url}/#/overview")
    await expect(page.locator(".symbol-tile")).not_to_have_count(0)
    await expect(page.locator(".breadth-numbers")).to_contain_text("advancing")
    await page.get_by_role("link", name="Utilities").last.click()
    await expect(page).to_have_url(re.compile(r"#/board\?sector=Utilities$"))
    await expect(page.locator("#count")).to_have_text("2 symbols")
    await page.get_by_role("button", name="Show all sectors").click()
    await expect(page.locator("#count")).to_have_text("105 symbols")
    await page.get_by_role("link", name="Overview").click()
    await page.get_by_role("link", name="All on the board: Gainers").click()
    header = page.get_by_role("grid").get_by_role("columnheader", name="%")
    await expect(header).to_have_attribute("aria-sort", "descending")
    await page.get_by_role("link", name="Overview").click()
    await page.locator("a.symbol-tile", has_text="NVDA").click()
    await expect(page).to_have_url(re.compile("#/chart/NVDA$"))


async def test_quote_panel_and_trades_follow_the_chart(visit, market) -> None:
    page = await visit(f"{market.url}/#/chart/AAPL/1s")
    panel = page.get_by_role("complementary", name="Quote of AAPL")
    vwap = panel.locator(".quote-facts div", has=page.locator("dt", has_text="VWAP")).locator("dd")
    await expect(vwap).to_have_text(re.compile(r"^\d"))
    await expect(page).to_have_title(re.compile(r"^AAPL [\d.]+ [+-]?[\d.]+% · "))
    await panel.get_by_role("button", name="Trades").click()
    await expect(panel.locator(".trades tbody tr")).not_to_have_count(0)
    await panel.get_by_role("button", name="Watchlist").click()
    other = panel.locator(".quote-list a:not(:text-is('AAPL'))").first
    symbol = await other.inner_text()
    await other.click()
    await expect(page.locator("#symbol")).to_have_value(symbol)
    await expect(page).to_have_title(re.compile(f"^{re.escape(symbol)} "))


async def test_indicators_and_several_charts_survive_a_reload(visit, market, accessible) -> None:
    page = await visit(f"{market.url}/#/chart/AAPL/1s")
    await page.get_by_role("button", name="Indicators").click()
    for name in ("Moving averages 5, 10, 20", "MACD 12, 26, 9", "KDJ 9, 3, 3", "RSI 14"):
        await page.get_by_label(name).check()
    await accessible(page)
    await page.get_by_label("Compare with").fill("SPY")
    await page.keyboard.press("Enter")
    await expect(page.locator(".compared")).to_contain_text("SPY")
    await page.get_by_label("Number of charts").select_option("2")
    await expect(page.locator(".pane .canvas")).to_have_count(2)
    # The toolbar changes the chart that has the focus.
    await page.locator(".canvas").last.focus()
    await page.locator(".intervals label", has_text="Intraday").click()
    await expect(page).to_have_url(re.compile(r"#/chart/AAPL/1s\?compare=SPY&more=[^/]+%2Fintraday"))
    await page.reload()
    await expect(page.locator(".pane-title small")).to_have_text(["1 second", "Intraday"])
    for indicator in ("MA5", "VWAP", "MACD", "RSI14"):
        await expect(page.locator(".indicator-legend").last).to_contain_text(indicator)


async def test_palette_finds_symbols_views_and_commands(visit, market, accessible) -> None:
    """Typing opens the palette, Control and K too, and the question mark lists all keys."""
    page = await visit(market.url)
    await expect(page.locator(".lines [data-symbol]").first).to_be_visible()
    await page.keyboard.type("micros")
    await expect(page.get_by_role("option", name="MSFT")).to_be_visible()
    await accessible(page)
    await page.keyboard.press("Enter")
    await expect(page).to_have_url(re.compile("#/chart/MSFT$"))
    await page.keyboard.press("Control+k")
    await page.get_by_role("combobox", name="Search symbols and commands").fill("go to over")
    await page.keyboard.press("Enter")
    await expect(page).to_have_url(re.compile("#/overview$"))
    await page.keyboard.press("?")
    await expect(page.get_by_role("dialog", name="Keys")).to_contain_text("Ctrl K")
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("dialog")).to_have_count(0)


async def test_columns_are_chosen_ordered_and_saved(visit, market, tmp_path: Path) -> None:
    page = await visit(f"{market.url}/#/board?search=apple")
    await expect(page.locator("#count")).to_have_text("1 symbol")
    await page.get_by_role("button", name="Columns").click()
    for hidden in ("Trend", "Bid", "Ask", "Day range", "Time"):
        await page.get_by_role("checkbox", name=hidden, exact=True).uncheck()
    await page.get_by_role("checkbox", name="Prev close").check()
    await page.get_by_role("checkbox", name="Compact rows").check()
    await page.get_by_role("button", name="Move Last to the left").click()
    await page.get_by_label("Width of Last in pixels").fill("150")
    await page.keyboard.press("Escape")
    headers = ["Symbol", "Last", "Name", "Change", "%", "Volume", "Prev close"]
    await page.reload()
    await expect(page.locator("#count")).to_have_text("1 symbol")
    assert [text.rstrip(" ↑") for text in await page.get_by_role("columnheader").all_inner_texts()][1:] == headers
    last = await page.get_by_role("columnheader", name="Last").bounding_box()
    assert round(last["width"]) == 150
    async with page.expect_download() as download:
        await page.get_by_role("button", name="CSV").click()
    await (await download.value).save_as(tmp_path / "board.csv")
    header, row = (tmp_path / "board.csv").read_text(encoding="utf-8-sig").splitlines()
    assert header.split(",") == [*headers, "Prices", "State"]
    assert ",Simulated," in row
    assert row.startswith("AAPL,")
    assert row.split(",")[2] == "Apple Inc."


async def test_alert_fires_once_and_messages_arrive(visit, accessible) -> None:
    """The alert fires while another view is open. Its line is on the chart."""
    async with run_server() as server, httpx2.AsyncClient(base_url=server.url) as client:
        await client.post("/v1/quotes", json=[{"symbol": "ACME", "last": 10}])
        page = await visit(f"{server.url}/#/alerts?symbol=ACME&price=12")
        await page.get_by_role("button", name="Alert at this price").click()
        await expect(page.get_by_role("link", name="ACME at or above 12.00")).to_be_visible()
        await client.post("/v1/messages", json={"event": "news", "data": {"text": "Halt at noon"}})
        await expect(page.locator(".inbox li")).to_contain_text("Halt at noon")
        await accessible(page)
        await page.get_by_role("link", name="Board").click()
        badge = page.get_by_role("navigation").locator(".badge")
        await publish_until_shown(page, client, [11, 12.5])
        await expect(badge).to_have_text("1")
        await client.post("/v1/messages", json={"event": "news", "data": {"text": "Trading resumes"}})
        await page.get_by_role("link", name="Alerts").click()
        await expect(badge).to_have_count(0)
        await expect(page.locator(".alerts li", has_text="ACME at or above 12.00")).to_have_count(2)
        await expect(page.get_by_role("checkbox", name="Watch: ACME at or above 12.00")).not_to_be_checked()
        # The message was sent while the view was closed.
        await expect(page.locator(".inbox li").first).to_contain_text("Trading resumes")


async def publish_until_shown(page: Page, client: httpx2.AsyncClient, prices: list[float]) -> None:
    """Publish prices of ACME, each after the one before is on the board."""
    for price in prices:
        await client.post("/v1/quotes", json=[{"symbol": "ACME", "last": price}])
        await expect(page.locator("[data-symbol=ACME] .last")).to_have_text(f"{price:.2f}")
