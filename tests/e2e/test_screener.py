"""The screener: a filter is written with help, and who matches it comes and goes."""

from __future__ import annotations

import asyncio
import re
from urllib.parse import quote

import httpx2
from playwright.async_api import Locator, Page, expect

from tickwire.testing.server import run_server

RECORD = """
window.shown = [];
window.Notification = class {
  static permission = "default";
  static asked = 0;
  static async requestPermission() { this.asked += 1; return this.permission = "granted"; }
  constructor(title, { body }) { window.shown.push(`${title}: ${body}`); }
  close() {}
};"""


async def trade(url: str, **prices: float) -> None:
    """A trade of each symbol."""
    ticks = [{"symbol": symbol, "last": price, "size": 10} for symbol, price in prices.items()]
    async with httpx2.AsyncClient() as client:
        answer = await client.post(f"{url}/v1/quotes", json=ticks)
        assert answer.status_code == 201, answer.text


def watched(url: str, filter_: str) -> str:
    return f"{url}/#/screener?filter={quote(filter_)}"


def row(page: Page, symbol: str) -> Locator:
    return page.locator(f".found tr[data-symbol={symbol}]")


async def log(page: Page) -> list[str]:
    """Without the times."""
    return [" ".join(line.split()[1:]) for line in await page.locator(".moves li").all_inner_texts()]


async def test_a_filter_is_written_with_the_keyboard_alone(visit, market) -> None:
    """Words are completed, texts too; Enter after a space runs the filter and Escape only closes the list."""
    page = await visit(f"{market.url}/#/screener")
    box = page.get_by_role("combobox", name="Filter")
    await box.press_sequentially("chan")
    await expect(box).to_have_attribute("aria-expanded", "true")
    await box.press("ArrowDown")
    await expect(page.locator(".suggestions [aria-selected=true]")).to_contain_text("change")
    await box.press("ArrowUp")
    await box.press("Enter")
    await expect(box).to_have_value("change_rate ")
    await box.press_sequentially(">= -99 and sec")
    await box.press("Tab")
    await box.press_sequentially("= Tech")
    await box.press("Enter")
    await expect(box).to_have_value('change_rate >= -99 and sector = "Technology" ')
    await box.press("Escape")
    await expect(box).to_have_attribute("aria-expanded", "false")
    await box.press("Enter")
    await expect(row(page, "MSFT")).to_be_visible()
    await expect(row(page, "KO")).to_have_count(0)
    await expect(page.locator(".found h2")).to_contain_text(" of ")
    await expect(page.locator("thead [data-field=sector]")).to_be_visible()  # what the filter is about has its column


async def test_enter_starts_the_screen_unless_a_suggestion_is_marked(visit, market) -> None:
    """A word that is whole stays, though longer ones are suggested; the server is asked once; one can write on."""
    asked: list[str | None] = []
    page = await visit(f"{market.url}/#/screener")
    page.on("request", lambda request: asked.append(request.post_data) if "/check" in request.url else None)
    box = page.get_by_role("combobox", name="Filter")
    await box.press("Enter")  # nothing to start
    await box.press_sequentially("change_rate > change")
    await expect(page.locator(".suggestions [role=option]")).to_have_count(2)
    await expect(page.locator("#verdict")).to_contain_text("means change < change_rate")
    assert await box.get_attribute("aria-activedescendant") is None
    await box.press("Enter")
    await expect(page).to_have_url(f"{market.url}/#/screener?filter=change_rate+%3E+change")
    await expect(page.locator(".found h2")).to_contain_text("of 105 match")
    await box.press_sequentially(" and volume > 1 ")
    await expect(page.locator("#verdict")).to_contain_text("and volume > 1")
    asked.clear()
    await box.press("Enter")
    await expect(page).to_have_url(re.compile("volume"))
    await expect(page.locator(".found h2")).to_contain_text(" of 105 match")
    await box.press_sequentially("and bid")
    await expect(box).to_have_value("change_rate > change and volume > 1 and bid")
    running = '{"filter":"change_rate > change and volume > 1","symbol":null}'
    assert asked.count(running) == 1
    assert not [body for body in asked if '"filter":""' in str(body)]
    await box.press("ArrowDown")
    await box.press("ArrowDown")
    await box.press("Enter")
    await expect(box).to_have_value("change_rate > change and volume > 1 and bid_size ")


async def test_a_mistake_is_shown_where_it_is_and_does_not_run(visit, market) -> None:
    """The caret stands under the character, the server's words beneath; what is unfinished is no mistake."""
    page = await visit(f"{market.url}/#/screener")
    box = page.get_by_role("combobox", name="Filter")
    await box.fill("volume > 1K and chnge_rate > 5%")
    await expect(page.locator("#verdict")).to_have_text(
        "Character 17: 'chnge_rate' is no field (did you mean change_rate?)"
    )
    assert await page.text_content(".mark span") == "volume > 1K and "
    caret, text = await page.locator(".mark b").bounding_box(), await box.bounding_box()
    assert caret["y"] > text["y"] + text["height"] - 1
    await expect(box).to_have_attribute("aria-invalid", "true")
    await box.press("Escape")
    await box.press("Enter")
    await expect(page).to_have_url(f"{market.url}/#/screener")
    await box.fill("volume > 1K and ")
    await expect(page.locator(".mark b[data-end]")).to_have_count(1)
    await box.fill("volume > 1K and change_rate > 5%")
    await expect(page.locator("#verdict")).to_contain_text("means change_rate > 5 and volume > 1000")


async def test_who_matches_comes_and_goes(visit) -> None:
    """Rows that come and go are marked, the log names them, and a column's head sorts."""
    async with run_server() as server:
        await trade(server.url, AAA=11, BBB=9, CCC=30)
        page = await visit(watched(server.url, "last > 10"))
        await expect(page.locator(".found h2")).to_have_text("2 of 3 match")
        await page.get_by_role("button", name="Last price").click()
        await expect(page.locator(".found tbody tr").first).to_have_attribute("data-symbol", "CCC")
        await trade(server.url, BBB=12.5)
        await expect(row(page, "BBB")).to_have_attribute("data-move", "enter")
        await expect(row(page, "BBB").locator("[data-field=last]")).to_have_text("12.50")
        await trade(server.url, AAA=8)
        await expect(row(page, "AAA")).to_have_attribute("data-move", "leave")
        await expect(row(page, "AAA")).to_have_count(0)  # a while later
        await expect(page.locator(".found h2")).to_have_text("2 of 3 match")
        assert await log(page) == ["out AAA 8.00", "in BBB 12.50", "The whole set: 2"]
        await page.get_by_role("button", name="Last price").click()
        await expect(page.locator(".found tbody tr").first).to_have_attribute("data-symbol", "BBB")


async def test_a_screen_is_saved_named_and_forgotten(visit, market) -> None:
    """A saved screen outlives a reload, can have another name, and leads back to its filter."""
    page = await visit(watched(market.url, "last > 100"))
    await page.get_by_role("button", name="Save this one").click()
    await page.keyboard.type("Dear ones")
    await page.keyboard.press("Enter")
    await page.goto(f"{market.url}/#/screener")
    await page.reload()
    await page.get_by_role("button", name="Rename Dear ones").click()
    await page.keyboard.type("Above a hundred")
    await page.keyboard.press("Enter")
    await page.get_by_role("link", name="Above a hundred").click()
    await expect(page.get_by_role("combobox", name="Filter")).to_have_value("last > 100")
    await page.get_by_label("Symbol").fill("MSFT")
    await page.get_by_role("button", name="Ask").click()
    await expect(page.locator(".why")).to_contain_text("MSFT matches.")
    await page.get_by_role("button", name="Remove Above a hundred").click()
    await expect(page.locator(".saved li")).to_have_count(0)


async def test_who_wants_to_be_told_is_asked_once_and_not_flooded(visit) -> None:
    """The browser is asked on a click only; many who come in at once are one notification."""
    async with run_server() as server:
        await trade(server.url, AAA=1, BBB=1, CCC=1, DDD=1, EEE=1)
        page = await visit(f"{server.url}/healthz")
        await page.add_init_script(RECORD)
        await page.goto(watched(server.url, "last > 10"))
        await expect(page.locator(".found h2")).to_have_text("0 of 5 match")
        assert await page.evaluate("Notification.asked") == 0
        await page.get_by_role("button", name="Notify me").click()
        await expect(page.get_by_role("button", name="Notify me")).to_have_attribute("aria-pressed", "true")
        await expect(page.locator(".found h2")).to_have_text("0 of 5 match")
        await trade(server.url, AAA=20, BBB=20, CCC=20, DDD=20, EEE=20)
        async with asyncio.timeout(10):
            while not await page.evaluate("shown.length"):
                pass
        await trade(server.url, AAA=5)
        await expect(page.locator(".moves li[data-what=leave]")).to_have_count(1)
        await trade(server.url, AAA=20)
        await expect(page.locator(".moves li[data-what=enter]")).to_have_count(6)
        await page.get_by_role("button", name="Notify me").click()  # not any more
        assert await page.evaluate("shown") == ["New in “last > 10”: AAA, BBB, CCC and 2 more"]
