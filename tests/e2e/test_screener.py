"""The screener: writing a filter, watching its matches, saved screens and notifications."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from urllib.parse import quote

import httpx2
from playwright.async_api import Locator, Page, expect

from tickwire.testing.server import ServerProcess, run_server
from tickwire.testing.tokens import TEST_SECRET, bearer_header, sign_token
from tickwire.testing.waiting import wait_until

RECORD_NOTIFICATIONS = """
window.shown = [];
window.Notification = class {
  static permission = "default";
  static requests = 0;
  static async requestPermission() { this.requests += 1; return this.permission = "granted"; }
  constructor(title, { body }) { window.shown.push(`${title}: ${body}`); }
  close() {}
};"""


async def trade(url: str, **prices: float) -> None:
    """Publish one trade of each symbol."""
    ticks = [{"symbol": symbol, "last": price, "size": 10} for symbol, price in prices.items()]
    async with httpx2.AsyncClient(headers=bearer_header(sign_token("publish"))) as client:
        response = await client.post(f"{url}/v1/quotes", json=ticks)
        assert response.status_code == 201, response.text


async def all_readers_are_live(url: str) -> bool:
    """Return whether every reader has received all events, according to the metrics of the server.

    Before a stream is live, the page receives a new list of matches instead of `enter` and `leave` events.
    """
    async with httpx2.AsyncClient(headers=bearer_header(sign_token("admin"))) as client:
        text = (await client.get(f"{url}/metrics")).text
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if line.startswith("tickwire_readers"))
    return values["tickwire_readers"] == values["tickwire_readers_live"]


def screen_url(url: str, filter_: str) -> str:
    return f"{url}/#/screener?filter={quote(filter_)}"


def row(page: Page, symbol: str) -> Locator:
    return page.locator(f".matches tr[data-symbol={symbol}]")


async def log_entries(page: Page) -> list[str]:
    """Return the entries of the screen log without their times, newest first."""
    return [" ".join(line.split()[1:]) for line in await page.locator(".screen-log li").all_inner_texts()]


async def test_keyboard_completes_and_runs_a_filter(visit, market) -> None:
    """Fields and values are completed. Enter after a space runs the filter, and Escape only closes the list."""
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
    await expect(page.locator(".matches h2")).to_contain_text(" of ")
    # The table has a column for each field of the filter.
    await expect(page.locator("thead [data-field=sector]")).to_be_visible()


async def test_enter_runs_the_filter_unless_a_suggestion_is_active(visit, market) -> None:
    """The Enter key keeps a complete word even if the list suggests longer words.

    The server checks the filter once per run.
    """
    checks: list[str | None] = []
    page = await visit(f"{market.url}/#/screener")
    page.on("request", lambda request: checks.append(request.post_data) if "/check" in request.url else None)
    box = page.get_by_role("combobox", name="Filter")
    # An empty filter does not run.
    await box.press("Enter")
    await box.press_sequentially("change_rate > change")
    await expect(page.locator(".suggestions [role=option]")).to_have_count(2)
    await expect(page.locator("#verdict")).to_contain_text("means change < change_rate")
    assert await box.get_attribute("aria-activedescendant") is None
    await box.press("Enter")
    await expect(page).to_have_url(f"{market.url}/#/screener?filter=change_rate+%3E+change")
    await expect(page.locator(".matches h2")).to_contain_text("of 105 match")
    await box.press_sequentially(" and volume > 1 ")
    await expect(page.locator("#verdict")).to_contain_text("and volume > 1")
    checks.clear()
    await box.press("Enter")
    await expect(page).to_have_url(re.compile("volume"))
    await expect(page.locator(".matches h2")).to_contain_text(" of 105 match")
    await box.press_sequentially("and bid")
    await expect(box).to_have_value("change_rate > change and volume > 1 and bid")
    running = '{"filter":"change_rate > change and volume > 1","symbol":null}'
    assert checks.count(running) == 1
    assert not [body for body in checks if '"filter":""' in str(body)]
    await box.press("ArrowDown")
    await box.press("ArrowDown")
    await box.press("Enter")
    await expect(box).to_have_value("change_rate > change and volume > 1 and bid_size ")


async def test_filter_error_is_marked_and_does_not_run(visit, market) -> None:
    """A caret marks the character, with the server's message below. An unfinished filter is not marked as wrong."""
    page = await visit(f"{market.url}/#/screener")
    box = page.get_by_role("combobox", name="Filter")
    await box.fill("volume > 1K and chnge_rate > 5%")
    await expect(page.locator("#verdict")).to_have_text(
        "Character 17: unknown field 'chnge_rate' (did you mean change_rate?)"
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


async def test_matches_enter_and_leave(visit) -> None:
    """Rows that enter or leave are marked and logged, and a column header sorts."""
    async with run_server() as server:
        await trade(server.url, AAA=11, BBB=9, CCC=30)
        page = await visit(screen_url(server.url, "last > 10"))
        await expect(page.locator(".matches h2")).to_have_text("2 of 3 match")
        await page.get_by_role("button", name="Last price").click()
        await expect(page.locator(".matches tbody tr").first).to_have_attribute("data-symbol", "CCC")
        await wait_until(partial(all_readers_are_live, server.url))
        await trade(server.url, BBB=12.5)
        await expect(row(page, "BBB")).to_have_attribute("data-move", "enter")
        await expect(row(page, "BBB").locator("[data-field=last]")).to_have_text("12.50")
        await trade(server.url, AAA=8)
        await expect(row(page, "AAA")).to_have_attribute("data-move", "leave")
        # The row stays marked for a while before it disappears.
        await expect(row(page, "AAA")).to_have_count(0)
        await expect(page.locator(".matches h2")).to_have_text("2 of 3 match")
        assert await log_entries(page) == ["out AAA 8.00", "in BBB 12.50", "All matches: 2"]
        await page.get_by_role("button", name="Last price").click()
        await expect(page.locator(".matches tbody tr").first).to_have_attribute("data-symbol", "BBB")


async def test_screen_is_saved_renamed_and_removed(visit, market) -> None:
    """A saved screen survives a reload and links to its filter."""
    page = await visit(screen_url(market.url, "last > 100"))
    await page.get_by_role("button", name="Save this screen").click()
    await page.keyboard.type("Expensive")
    await page.keyboard.press("Enter")
    await page.goto(f"{market.url}/#/screener")
    await page.reload()
    await page.get_by_role("button", name="Rename Expensive").click()
    await page.keyboard.type("Above a hundred")
    await page.keyboard.press("Enter")
    await page.get_by_role("link", name="Above a hundred").click()
    await expect(page.get_by_role("combobox", name="Filter")).to_have_value("last > 100")
    await page.get_by_label("Symbol", exact=True).fill("MSFT")
    await page.get_by_role("button", name="Check").click()
    await expect(page.locator(".explanation")).to_contain_text("MSFT matches.")
    await page.get_by_role("button", name="Remove Above a hundred").click()
    await expect(page.locator(".saved li")).to_have_count(0)


async def test_notifications_are_requested_once_and_combined(visit) -> None:
    """The browser asks for permission after a click only, and symbols that enter together share a notification."""
    async with run_server() as server:
        await trade(server.url, AAA=1, BBB=1, CCC=1, DDD=1, EEE=1)
        page = await visit(f"{server.url}/healthz")
        await page.add_init_script(RECORD_NOTIFICATIONS)
        await page.goto(screen_url(server.url, "last > 10"))
        await expect(page.locator(".matches h2")).to_have_text("0 of 5 match")
        assert await page.evaluate("Notification.requests") == 0
        await page.get_by_role("button", name="Notify me").click()
        await expect(page.get_by_role("button", name="Notify me")).to_have_attribute("aria-pressed", "true")
        await expect(page.locator(".matches h2")).to_have_text("0 of 5 match")
        await wait_until(partial(all_readers_are_live, server.url))
        await trade(server.url, AAA=20, BBB=20, CCC=20, DDD=20, EEE=20)
        await wait_until(lambda: page.evaluate("shown.length > 0"))
        await trade(server.url, AAA=5)
        await expect(page.locator(".screen-log li[data-kind=leave]")).to_have_count(1)
        await trade(server.url, AAA=20)
        await expect(page.locator(".screen-log li[data-kind=enter]")).to_have_count(6)
        await page.get_by_role("button", name="Notify me").click()
        assert await page.evaluate("shown") == ["New in “last > 10”: AAA, BBB, CCC and 2 more"]


async def test_symbols_that_entered_during_an_outage_are_notified(visit, tmp_path: Path) -> None:
    """Another server starts at the same address, so the page receives a list of matches and no `enter` events."""
    options = ("--feed", "http", "--journal", "memory")
    async with ServerProcess(*options, cwd=tmp_path) as server:
        await trade(server.url, AAA=20, BBB=1)
        page = await visit(f"{server.url}/healthz")
        await page.add_init_script(RECORD_NOTIFICATIONS)
        await page.goto(screen_url(server.url, "last > 10"))
        await expect(page.locator(".matches h2")).to_have_text("1 of 2 matches")
        await page.get_by_role("button", name="Notify me").click()
        await expect(page.get_by_role("button", name="Notify me")).to_have_attribute("aria-pressed", "true")
        await server.kill()
        async with ServerProcess(*options, "--port", server.url.rpartition(":")[2], cwd=tmp_path) as restarted:
            await trade(restarted.url, AAA=20, BBB=20)
            await wait_until(lambda: page.evaluate("shown.length > 0"))
            assert await page.evaluate("shown") == ["New in “last > 10”: BBB"]


async def test_a_symbol_that_leaves_the_filter_of_the_token_keeps_its_last_quote(visit) -> None:
    """The server does not send the quote that no longer matches, so the page must not need this quote."""
    async with run_server(auth="secret", auth_secret=TEST_SECRET) as server:
        await trade(server.url, AAA=5.25, BBB=6)
        page = await visit(f"{server.url}/healthz", shared_worker=False)
        token = sign_token(filter="last < 10")
        await page.evaluate("token => sessionStorage.setItem('tickwire.token', token)", token)
        await page.goto(screen_url(server.url, "last > 1"))
        await expect(row(page, "AAA")).to_contain_text("5.25")
        await wait_until(partial(all_readers_are_live, server.url))
        await trade(server.url, AAA=50)
        await expect(page.locator(".screen-log li").first).to_contain_text("AAA")
        await expect(row(page, "AAA")).to_have_count(0)
        await trade(server.url, BBB=7)
        await expect(row(page, "BBB")).to_contain_text("7.00")
        assert (await log_entries(page))[0].endswith("AAA")
