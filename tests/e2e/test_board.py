"""The board, used as a person would."""

from __future__ import annotations

from pathlib import Path

from playwright.async_api import Page, expect

from tickwire.testing.server import ServerProcess

ROW = ".lines [data-symbol]"


async def shown(page: Page) -> list[str]:
    """The symbols on the screen, from the top."""
    script = """() => [...document.querySelectorAll('.lines [data-symbol]')]
        .sort((one, other) => one.getBoundingClientRect().top - other.getBoundingClientRect().top)
        .map((row) => row.dataset.symbol)"""
    return await page.evaluate(script)


async def cells(page: Page, column: str) -> list[str]:
    """The texts of a column, from the top."""
    script = """(column) => [...document.querySelectorAll('.lines .row:not(.group)')]
        .sort((one, other) => one.getBoundingClientRect().top - other.getBoundingClientRect().top)
        .map((row) => row.querySelector('.' + column).textContent)"""
    return await page.evaluate(script, column)


async def test_prices_move(visit, market) -> None:
    """A hundred symbols are there, only those in sight exist, and they change by themselves."""
    page = await visit(market.url)
    await expect(page.locator("#count")).to_have_text("105 symbols")
    await page.wait_for_selector(ROW)
    assert 20 < await page.locator(ROW).count() < 60
    price = page.locator("[data-symbol=AAPL] .last")
    await expect(price).not_to_have_text(await price.inner_text())
    assert await page.locator(".mode").inner_text() == "SIMULATED"
    assert "Simulated" in await page.title()


async def test_rows_are_sorted_by_a_column(visit, market) -> None:
    """A click sorts, another turns it round, the head says so; numbers begin with the largest."""
    page = await visit(market.url)
    await page.wait_for_selector(ROW)
    symbols = await shown(page)
    assert symbols == sorted(symbols)
    await page.get_by_role("button", name="Last").click()
    head = page.get_by_role("columnheader", name="Last")
    assert await head.get_attribute("aria-sort") == "descending"
    prices = [float(text.replace(",", "")) for text in await cells(page, "last")]
    assert prices[0] > 10_000  # a coin
    await page.get_by_role("button", name="Last").click()
    assert await head.get_attribute("aria-sort") == "ascending"
    await page.reload()
    await page.wait_for_selector(ROW)
    assert await head.get_attribute("aria-sort") == "ascending"


async def test_search_by_symbol_and_by_name(visit, market) -> None:
    """`/` leads to the field, Escape out of it, and what does not match is said."""
    page = await visit(market.url)
    await page.wait_for_selector(ROW)
    await page.keyboard.press("/")
    await page.keyboard.type("apple")
    await expect(page.locator("#count")).to_have_text("1 symbol")
    assert await shown(page) == ["AAPL"]
    await page.fill("#find", "no such thing")
    await page.wait_for_selector("text=Nothing matches.")
    await page.keyboard.press("Escape")
    await expect(page.locator("#count")).to_have_text("105 symbols")
    assert await page.evaluate("document.activeElement.getAttribute('role')") == "grid"


async def test_the_keyboard_alone(visit, market) -> None:
    """Arrows walk, the line that is active stays in sight and is told to screen readers; Enter opens the chart."""
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
    assert (await page.evaluate("location.hash")) == f"#/chart/{active.replace('^', '%5E')}"


async def test_coming_back_from_the_chart_one_is_where_one_was(visit, market) -> None:
    """The same line is active and in sight, and has the focus; but a link that was followed keeps it."""
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


async def test_heads_stand_over_their_columns(visit, market) -> None:
    """On a phone, where a row has two lines, as on a wide screen."""
    page = await visit(market.url)
    await page.wait_for_selector(ROW)
    for width in (1280, 1000, 800, 390, 320):
        await page.set_viewport_size({"width": width, "height": 800})
        await expect(page.locator(".heads .change")).to_be_visible(visible=width > 640)
        heads, cells = await edges(page, ".heads"), await edges(page, ".lines")
        assert len(heads) >= 6
        assert heads == cells, width


async def edges(page: Page, part: str) -> dict[str, tuple[float, float]]:
    """Where each column that is shown begins and ends, in the first row of a part of the board."""
    script = """part => Object.fromEntries([...document.querySelector(`${part} .row`).children]
        .map(cell => [cell.className.split(' ')[1], cell.getBoundingClientRect()])
        .filter(([, { width }]) => width > 0).map(([name, { left, right }]) => [name, [left, right]]))"""
    return await page.evaluate(script, part)


async def test_groups_by_sector(visit, market) -> None:
    """Heads of sectors with how many they have; a click folds one."""
    page = await visit(market.url)
    await page.wait_for_selector(ROW)
    await page.get_by_role("button", name="By sector").click()
    heads = page.locator(".lines .group button")
    first = await heads.first.inner_text()
    assert first.startswith("Basic Materials · ")
    count = int(first.rpartition(" ")[2])
    assert (await heads.first.get_attribute("aria-expanded")) == "true"
    symbols = await shown(page)
    await heads.first.click()
    await page.wait_for_selector(".lines .group button[aria-expanded=false]")
    assert (await shown(page))[0] == symbols[count]


async def test_lists_outlive_a_reload(visit, market) -> None:
    """A star puts a symbol on the list; lists have names, and are there tomorrow."""
    page = await visit(market.url)
    await page.wait_for_selector(ROW)
    await page.get_by_role("button", name="Put AAPL on the list").click()
    await page.get_by_role("button", name="New list").click()
    await page.keyboard.type("Chips")
    await page.keyboard.press("Enter")
    await page.wait_for_selector("text=Nothing on this list yet")
    await page.get_by_role("button", name="All", exact=True).click()
    await page.reload()
    await page.wait_for_selector(ROW)
    await page.get_by_role("button", name="Watchlist 1").click()
    await expect(page.locator("#count")).to_have_text("1 symbol")
    assert await shown(page) == ["AAPL"]
    await page.get_by_role("button", name="Chips 0").click()
    await page.get_by_role("button", name="Remove this list").click()
    assert await page.get_by_role("button", name="Chips 0").count() == 0


async def test_another_language_at_once(visit, market) -> None:
    """Everything is in Chinese, prices that rise are red there, and it stays so."""
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


async def test_nothing_flashes_for_who_does_not_want_motion(visit, market) -> None:
    """With reduced motion a change is a change of text only."""
    for motion, lit in (("no-preference", True), ("reduce", False)):
        page = await visit(market.url, reduced_motion=motion)
        await page.wait_for_selector(".flash-up:not(.dim)")
        script = "[...document.querySelectorAll('.flash-up')].map((each) => getComputedStyle(each).backgroundColor)"
        colors = [color for _ in range(20) for color in await page.evaluate(script)]
        assert colors
        assert any(color != "rgba(0, 0, 0, 0)" for color in colors) == lit


async def test_what_may_be_old_looks_old(visit, tmp_path: Path) -> None:
    """A recording that has ended: the page says so, and its prices are grey."""
    path = tmp_path / "A.csv"
    path.write_text("ts_ns,price\n" + "".join(f"{number * 10**8},{number + 1}\n" for number in range(20)))
    async with ServerProcess("--feed", f"replay:{path}", cwd=tmp_path) as server:
        page = await visit(server.url)
        await page.wait_for_selector(".board[data-stale=halted]")
        assert await page.locator(".feed").inner_text() == "feed halted"
        assert await page.locator(".mode").inner_text() == "REPLAY"
        assert await cells(page, "last") == ["20.00"]
        dimmed = "getComputedStyle(document.querySelector('.lines .last')).opacity"
        assert float(await page.evaluate(dimmed)) < 0.6


async def test_a_halted_symbol_looks_halted(visit, tmp_path: Path) -> None:
    """Only that one; the others go on."""
    scenario = tmp_path / "halt.toml"
    scenario.write_text('name = "halt"\n[[event]]\nat = "1s"\ndo = "halt"\nsymbols = ["AAPL"]\n')
    async with ServerProcess("--scenario", str(scenario), "--journal", "memory", cwd=tmp_path) as server:
        page = await visit(server.url)
        await page.wait_for_selector("[data-symbol=AAPL][data-stale=halted]")
        assert await page.locator("[data-stale]").count() == 1
