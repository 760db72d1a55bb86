"""The board, as a trader uses it."""

from __future__ import annotations

import re
from pathlib import Path

import httpx2
from playwright.async_api import Page, expect

from tickwire.testing.server import ServerProcess, run_server
from tickwire.testing.waiting import wait_until

ROW = ".lines [data-symbol]"


async def visible_symbols(page: Page) -> list[str]:
    """Return the rendered symbols, from the top."""
    script = """() => [...document.querySelectorAll('.lines [data-symbol]')]
        .sort((one, other) => one.getBoundingClientRect().top - other.getBoundingClientRect().top)
        .map((row) => row.dataset.symbol)"""
    return await page.evaluate(script)


async def column_texts(page: Page, column: str) -> list[str]:
    """Return the texts of a column, from the top."""
    script = """(column) => [...document.querySelectorAll('.lines .row:not(.group)')]
        .sort((one, other) => one.getBoundingClientRect().top - other.getBoundingClientRect().top)
        .map((row) => row.querySelector('.' + column).textContent)"""
    return await page.evaluate(script, column)


async def test_board_shows_moving_prices(visit, market) -> None:
    """Only the visible rows are in the DOM."""
    page = await visit(market.url)
    await expect(page.locator("#count")).to_have_text("105 symbols")
    await page.wait_for_selector(ROW)
    assert 20 < await page.locator(ROW).count() < 60
    price = page.locator("[data-symbol=AAPL] .last")
    await expect(price).not_to_have_text(await price.inner_text())
    await expect(page.locator(".mode")).to_have_text("SIMULATED", use_inner_text=True)
    assert "Simulated" in await page.title()


async def test_column_header_sorts_rows(visit, market) -> None:
    """A click sorts numbers from the largest, a second click reverses the order, and the order survives a reload."""
    page = await visit(market.url)
    await page.wait_for_selector(ROW)
    symbols = await visible_symbols(page)
    assert symbols == sorted(symbols)
    await page.get_by_role("button", name="Last").click()
    header = page.get_by_role("columnheader", name="Last")
    await expect(header).to_have_attribute("aria-sort", "descending")

    async def begins_with_highest_price() -> bool:
        # Bitcoin has the highest price of the built-in market.
        return float((await column_texts(page, "last"))[0].replace(",", "")) > 10_000

    # The page draws the rows in a later frame than the header.
    await wait_until(begins_with_highest_price)
    await page.get_by_role("button", name="Last").click()
    await expect(header).to_have_attribute("aria-sort", "ascending")
    await expect(page).to_have_url(re.compile(r"sort=last$"))
    await page.reload()
    await page.wait_for_selector(ROW)
    await expect(header).to_have_attribute("aria-sort", "ascending")


async def test_search_finds_symbols_and_names(visit, market) -> None:
    """The slash key focuses the search field, and Escape clears it and returns to the grid."""
    page = await visit(market.url)
    await page.wait_for_selector(ROW)
    await page.keyboard.press("/")
    await page.keyboard.type("apple")
    await expect(page.locator("#count")).to_have_text("1 symbol")
    await expect(page.locator(ROW)).to_have_count(1)
    assert await visible_symbols(page) == ["AAPL"]
    await page.fill("#find", "no such thing")
    await page.wait_for_selector("text=No symbol matches.")
    await page.keyboard.press("Escape")
    await expect(page.locator("#count")).to_have_text("105 symbols")
    await expect(page.get_by_role("grid")).to_be_focused()


async def test_keyboard_moves_the_active_row_and_opens_its_chart(visit, market) -> None:
    """The active row stays visible and is announced to screen readers."""
    page = await visit(market.url)
    await page.wait_for_selector(ROW)
    await page.locator("[role=grid]").focus()
    for key in ("ArrowDown", "ArrowDown", "End", "Home", "PageDown", "ArrowUp"):
        await page.keyboard.press(key)
    active = await page.evaluate(
        "document.getElementById(document.activeElement.getAttribute('aria-activedescendant')).dataset.symbol"
    )
    selected = page.locator(".lines [aria-selected=true]")
    assert await selected.get_attribute("data-symbol") == active
    box = await selected.bounding_box()
    assert 0 < box["y"] < 800
    await page.keyboard.press("Enter")
    await expect(page).to_have_url(f"{market.url}/#/chart/{active.replace('^', '%5E')}")


async def test_board_restores_its_position_after_the_chart(visit, market) -> None:
    """After the return from the chart, the same row as before is active, visible and focused.

    If the user has clicked a navigation link, the link keeps the focus.
    """
    page = await visit(market.url)
    await page.wait_for_selector(ROW)
    grid, selected = page.get_by_role("grid"), page.locator(".lines [aria-selected=true]")
    await grid.focus()
    for key in ("PageDown", "PageDown", "ArrowDown"):
        await page.keyboard.press(key)
    symbol, top = await selected.get_attribute("data-symbol"), await grid.evaluate("node => node.scrollTop")
    await page.keyboard.press("Enter")
    await expect(page.locator(".legend")).to_be_visible()
    await page.go_back()
    await expect(grid).to_be_focused()
    await expect(selected).to_have_attribute("data-symbol", symbol)
    await expect(selected).to_be_in_viewport(ratio=1)
    assert await grid.evaluate("node => node.scrollTop") == top > 0
    await page.keyboard.press("ArrowUp")
    await page.keyboard.press("ArrowDown")
    await expect(selected).to_have_attribute("data-symbol", symbol)
    link = page.get_by_role("navigation").get_by_role("link", name="Board")
    await page.get_by_role("navigation").get_by_role("link", name="Chart").press("Enter")
    await link.press("Enter")
    await expect(selected).to_have_attribute("data-symbol", symbol)
    await expect(link).to_be_focused()


async def test_headers_align_with_their_columns(visit, market) -> None:
    """On a phone a row has two lines."""
    page = await visit(market.url)
    await page.wait_for_selector(ROW)
    for width in (1280, 1000, 800, 390, 320):
        await page.set_viewport_size({"width": width, "height": 800})
        await expect(page.locator(".column-headers .change")).to_be_visible(visible=width > 640)
        headers, cells = await column_edges(page, ".column-headers"), await column_edges(page, ".lines")
        assert len(headers) >= 6
        assert headers == cells, width


async def column_edges(page: Page, part: str) -> dict[str, tuple[float, float]]:
    """Return the left and right edge of every visible column, in the first row of a part of the board."""
    script = """part => Object.fromEntries([...document.querySelector(`${part} .row`).children]
        .map(cell => [cell.className.split(' ')[1], cell.getBoundingClientRect()])
        .filter(([, { width }]) => width > 0).map(([name, { left, right }]) => [name, [left, right]]))"""
    return await page.evaluate(script, part)


async def test_board_groups_rows_by_sector(visit, market) -> None:
    """A header shows the sector and its number of symbols; a click folds the sector."""
    page = await visit(market.url)
    await page.wait_for_selector(ROW)
    await page.get_by_role("button", name="By sector").click()
    headers = page.locator(".lines .group button")
    first = await headers.first.inner_text()
    assert first.startswith("Basic Materials · ")
    count = int(first.rpartition(" ")[2])
    assert (await headers.first.get_attribute("aria-expanded")) == "true"
    symbols = await visible_symbols(page)
    await headers.first.click()
    await page.wait_for_selector(".lines .group button[aria-expanded=false]")
    await expect(page.locator(ROW).first).to_have_attribute("data-symbol", symbols[count])


async def wait_for_whole_board(page: Page) -> None:
    """Wait until the board has all symbols. A new symbol moves the rows below it, so a click can hit another row."""
    await expect(page.locator("#count")).to_have_text("105 symbols")


async def test_watchlists_survive_a_reload(visit, market) -> None:
    page = await visit(market.url)
    await wait_for_whole_board(page)
    await page.get_by_role("button", name="Add AAPL to the list").click()
    await page.get_by_role("button", name="New list").click()
    await page.keyboard.type("Chips")
    await page.keyboard.press("Enter")
    await page.wait_for_selector("text=This list is empty")
    await page.get_by_role("button", name="All", exact=True).click()
    # The page writes its address in the next frame. An earlier reload would open the list again.
    await expect(page).to_have_url(re.compile("#/board$"))
    await page.reload()
    await page.wait_for_selector(ROW)
    await page.get_by_role("button", name="Watchlist 1").click()
    await expect(page.locator("#count")).to_have_text("1 symbol")
    await expect(page.locator(ROW)).to_have_count(1)
    assert await visible_symbols(page) == ["AAPL"]
    await page.get_by_role("button", name="Chips 0").click()
    await page.get_by_role("button", name="Remove this list").click()
    await expect(page.get_by_role("button", name="Chips 0")).to_have_count(0)


async def test_tabs_share_their_watchlists(visit, market) -> None:
    """Each tab keeps the changes of the other tab. The user can restore a removed list."""
    one = await visit(market.url)
    await wait_for_whole_board(one)
    other = await one.context.new_page()
    await other.goto(market.url)
    await wait_for_whole_board(other)
    await one.get_by_role("button", name="Add AAPL to the list").click()
    await expect(other.get_by_role("button", name="Watchlist 1")).to_be_visible()
    # This tab has missed the change in the other tab.
    await other.evaluate(
        "localStorage.setItem('tickwire.lists', JSON.stringify([{ name: '', symbols: ['AAPL', 'AMD'] }]))"
    )
    await other.get_by_role("button", name="Add AMZN to the list").click()
    for tab in (one, other):
        await expect(tab.get_by_role("button", name="Watchlist 3")).to_be_visible()
    await one.get_by_role("button", name="New list").click()
    await one.keyboard.type("Chips")
    await one.keyboard.press("Enter")
    await one.get_by_role("button", name="Remove this list").click()
    await expect(other.get_by_role("button", name="Chips 0")).to_have_count(0)
    await one.get_by_role("button", name="Restore “Chips”").click()
    await expect(other.get_by_role("button", name="Chips 0")).to_be_visible()


async def test_invalid_stored_settings_are_replaced(visit, market) -> None:
    """The page starts with its defaults for every setting that it cannot use, and reports the error of a view."""
    page = await visit(market.url)
    await page.wait_for_selector(ROW)
    for value in ("null", '[{"name":1}]', '{"by":"__proto__"'):
        await page.evaluate(
            """value => { for (const name of ['lists', 'list.name', 'sort', 'grouped', 'screens', 'screener.sort',
                'chart.symbol', 'chart.interval', 'language', 'theme', 'rising'])
                localStorage.setItem(`tickwire.${name}`, value) }""",
            value,
        )
        await page.reload()
        await expect(page.locator(ROW).first).to_be_visible()
        await expect(page.locator("#count")).to_have_text("105 symbols")
    await page.evaluate("location.hash = '#/screener?filter=volume > 100'")
    await expect(page.locator(".matches tbody tr").first).to_be_visible()


async def test_tap_on_a_phone_opens_the_chart(visit, market) -> None:
    page = await visit(market.url, viewport={"width": 390, "height": 844}, has_touch=True)
    await wait_for_whole_board(page)
    await page.get_by_role("button", name="Add AAPL to the list").tap()
    await expect(page.get_by_role("button", name="Watchlist 1")).to_be_visible()
    await page.locator("[data-symbol=AAPL] .last").tap()
    await expect(page).to_have_url(re.compile("#/chart/AAPL"))


# The price, the decimals that it needs, and its percentage.
NUMBERS = {
    "TINY": ({"last": 1.23e-7}, "0.000000123"),
    "SUM": ({"last": 0.1 + 0.2}, "0.30"),
    "OIL": ({"last": -37.63}, "-37.63"),
    "BIG": ({"last": 123_456_789_012.25}, "123,456,789,012.25"),
}


async def test_prices_of_every_size_are_exact(visit) -> None:
    """If a price does not fit in its column, it has a tooltip. Times of other days have a date."""
    ticks = [{"symbol": symbol, "size": 1, **tick} for symbol, (tick, _) in NUMBERS.items()]
    old = {
        "symbol": "OLD",
        "last": 1,
        "bid": 98.5,
        "ask": 99.5,
        "bid_size": 12,
        "ask_size": 3,
        "ts": 1_767_571_200_000_000,
    }
    async with run_server() as server, httpx2.AsyncClient(base_url=server.url) as client:
        (await client.post("/v1/quotes", json=[*ticks, old])).raise_for_status()
        page = await visit(server.url)
        for symbol, (_, text) in NUMBERS.items():
            await expect(page.locator(f"[data-symbol={symbol}] .last")).to_have_text(text)
        await page.locator("[data-symbol=BIG] .last").hover()
        await expect(page.get_by_title(NUMBERS["BIG"][1])).to_be_visible()
        row = page.locator("[data-symbol=OLD]")
        await expect(row.locator(".time")).to_have_text(re.compile(r"^1/5/2026$|^1/5, "))
        assert await row.locator(".bid").text_content() == "12 98.50"
        assert await row.locator(".ask").text_content() == "99.50 3"
        # A price that crosses zero has a change, but no percentage.
        (await client.post("/v1/quotes", json=[{"symbol": "OIL", "last": 2, "size": 1}])).raise_for_status()
        await expect(page.locator("[data-symbol=OIL] .last")).to_have_text("2.00")
        await expect(page.locator("[data-symbol=OIL] .rate")).to_have_text("–")


async def test_language_changes_at_once_and_survives_a_reload(visit, market) -> None:
    """In Chinese, rising prices are red."""
    page = await visit(market.url)
    await page.wait_for_selector(ROW)
    await page.get_by_label("Language").select_option("zh")
    await page.wait_for_selector("text=成交量")
    assert (
        await page.evaluate("[document.documentElement.lang, document.documentElement.dataset.rising].join()")
        == "zh-CN,red"
    )
    await page.reload()
    await page.wait_for_selector("text=成交量")


async def test_prices_do_not_flash_with_reduced_motion(visit, market) -> None:
    for motion, flashes in (("no-preference", True), ("reduce", False)):
        page = await visit(market.url, reduced_motion=motion)
        await page.wait_for_selector(".flash-up:not(.dim)")
        script = "[...document.querySelectorAll('.flash-up')].map((each) => getComputedStyle(each).backgroundColor)"
        colors = [color for _ in range(20) for color in await page.evaluate(script)]
        assert colors
        assert any(color != "rgba(0, 0, 0, 0)" for color in colors) == flashes


async def test_prices_of_an_ended_recording_are_grey(visit, tmp_path: Path) -> None:
    path = tmp_path / "A.csv"
    path.write_text("ts_ns,price\n" + "".join(f"{number * 10**8},{number + 1}\n" for number in range(20)))
    async with ServerProcess("--feed", f"replay:{path}", cwd=tmp_path) as server:
        page = await visit(server.url)
        await page.wait_for_selector(".board[data-stale=stopped]")
        await expect(page.locator(".feed")).to_have_text("feed stopped")
        await expect(page.locator(".mode")).to_have_text("REPLAY", use_inner_text=True)
        await expect(page.locator(f"{ROW} .last")).to_have_text(["20.00"])
        dimmed = "getComputedStyle(document.querySelector('.lines .last')).opacity"
        assert float(await page.evaluate(dimmed)) < 0.7


async def test_only_the_halted_symbol_looks_halted(visit, tmp_path: Path) -> None:
    scenario = tmp_path / "halt.toml"
    scenario.write_text('name = "halt"\n[[event]]\nat = "1s"\ndo = "halt"\nsymbols = ["AAPL"]\n')
    async with ServerProcess("--scenario", str(scenario), "--journal", "memory", cwd=tmp_path) as server:
        page = await visit(server.url)
        await page.wait_for_selector("[data-symbol=AAPL][data-stale=halted]")
        await expect(page.locator("[data-stale]")).to_have_count(1)
