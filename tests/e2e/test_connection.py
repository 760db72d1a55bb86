"""The page's connection: lost and found, measured, and what is told of it."""

from __future__ import annotations

import re
from pathlib import Path

from playwright.async_api import expect

from tickwire.testing.server import ServerProcess, run_server
from tickwire.testing.tokens import SECRET, token

RECONNECTS = "dt:has-text('Reconnects') + dd"


async def test_a_server_that_restarts_is_found_again(visit, tmp_path: Path) -> None:
    """The plug pulled: prices go grey, and trends of what is scrolled to are not asked for in vain.

    Plugged in again: live, where it was, without a reload, and the trends are there.
    """
    options = ("--data", str(tmp_path / "data"), "--seed", "1")
    server = await ServerProcess(*options, cwd=tmp_path).start()
    asked: list[str] = []
    page = await visit(server.url)
    await expect(page.locator("#count")).to_have_text("105 symbols")
    await page.evaluate("window.sameDocument = true")
    await server.kill()
    await page.wait_for_selector(".board[data-stale=connection]")
    page.on("request", lambda request: asked.append(request.url) if "/v1/candles" in request.url else None)
    for key in ("End", "Home", "End"):
        await page.get_by_role("grid").press(key)
    await page.evaluate("fetch('healthz').catch(() => null)")  # what was asked before has been heard of
    assert asked == []
    async with ServerProcess(*options, "--port", server.url.rpartition(":")[2], cwd=tmp_path):
        await page.wait_for_selector(".connection[data-state=open]", timeout=30_000)
        await page.wait_for_selector(".board:not([data-stale])")
        while not any("XRP-USD" in url for url in asked):  # its line may be there before: live prices make one too
            await page.evaluate("new Promise(requestAnimationFrame)")
        await page.wait_for_selector("[data-symbol=XRP-USD] polyline[points*=',']", state="attached")
        assert await page.evaluate("window.sameDocument")
        await page.goto(f"{server.url}/#/connection")
        await page.wait_for_selector("text=Reconnects")
        await expect(page.locator(RECONNECTS)).to_have_text("1")
        assert await page.locator(".log tr").count() >= 4


async def test_another_market_at_the_same_address(visit, tmp_path: Path) -> None:
    """Nothing of the old one is left, and what is shown of it is marked as what it is."""
    server = await ServerProcess("--journal", "memory", cwd=tmp_path).start()
    page = await visit(server.url)
    await expect(page.locator("#count")).to_have_text("105 symbols")
    await server.kill()
    path = tmp_path / "A.csv"
    path.write_text("ts_ns,price\n" + "".join(f"{number * 10**8},{number + 1}\n" for number in range(20)))
    options = ("--feed", f"replay:{path}", "--journal", "memory", "--port", server.url.rpartition(":")[2])
    async with ServerProcess(*options, cwd=tmp_path):
        await expect(page.locator("#count")).to_have_text("1 symbol")
        await expect(page.locator(".mode")).to_have_text("Replay")


async def test_how_late_prices_are(visit, market) -> None:
    """Percentiles from a price's time to the frame that shows it, on a clock found to a few milliseconds."""
    page = await visit(f"{market.url}/#/connection")
    await expect(page.locator(".figures dd").first).to_have_text(re.compile("ms$"))
    texts = await page.locator(".figures dd").all_inner_texts()
    figures = [float(text.removesuffix(" ms")) if text.endswith(" ms") else float(text[:-2]) * 1000 for text in texts]
    assert figures == sorted(figures)
    assert figures[0] < 250  # a busy machine; on a quiet one it is below 10


async def test_a_market_with_its_own_time_is_measured_too(visit, tmp_path: Path) -> None:
    """At twenty times the speed, prices carry the time of a clock that is far from ours."""
    async with ServerProcess("--speed", "20", "--rate", "0.3", "--journal", "memory", cwd=tmp_path) as server:
        page = await visit(f"{server.url}/#/connection")
        await expect(page.locator(".figures dd").first).to_have_text(re.compile("ms$"))
        text = await page.locator(".figures dd").first.inner_text()
        assert float(text.removesuffix(" ms")) < 250
        assert await page.locator(".feed").inner_text() == "20×"


async def test_an_evicted_page_comes_back(visit, market) -> None:
    """When one asks for it: the server said goodbye, and to wait a while, which the page would."""
    page = await visit(f"{market.url}/#/connection")
    await page.wait_for_selector(".connection[data-state=open]")
    name = await page.locator("code", has_text="page-").inner_text()
    await page.evaluate("name => fetch(`v1/clients/${name}`, { method: 'DELETE' })", name)
    await page.wait_for_selector("text=evicted")
    await page.wait_for_selector(".connection[data-state=waiting]")
    await page.get_by_role("button", name="Reconnect now").click()
    await expect(page.locator(RECONNECTS)).to_have_text("1")


async def test_a_refused_page_says_why_and_tries_again(visit, tmp_path: Path) -> None:
    """EventSource hides what it was answered; the page shows the server's words, and comes in when there is room."""
    async with ServerProcess("--feed", "http", "--max-readers", "1", "--journal", "memory", cwd=tmp_path) as server:
        first = await visit(server.url)
        await first.wait_for_selector(".connection[data-state=open]")
        second = await visit(f"{server.url}/#/connection")
        await second.wait_for_selector(".connection[data-state=waiting]")
        assert "reader" in await second.locator(".connection-view .down").inner_text()
        await first.close()
        await second.get_by_role("button", name="Reconnect now").click()
        await second.wait_for_selector(".connection[data-state=open]")


async def test_a_stream_that_is_refused_for_good_is_asked_for_once_a_minute(visit) -> None:
    """A no that stays one, by rights (403) or by what was asked (400), is not knocked at again after seconds."""
    asked: list[str] = []

    async def passes(seconds: int) -> int:
        """How often a stream of the symbol is asked for in that time of the page's clock."""
        before = len(asked)
        for _ in range(seconds):
            await page.clock.run_for(1_000)
            await page.evaluate("fetch('healthz')")  # what was asked before has been answered then
        return len([url for url in asked[before:] if f"symbols={symbol}" in url])

    async with run_server(feed="simulator", auth="secret", auth_secret=SECRET) as server:
        page = await visit(f"{server.url}/healthz")
        page.on("request", lambda request: asked.append(request.url))
        await page.evaluate("token => sessionStorage.setItem('tickwire.token', token)", token(symbols=["AAPL"]))
        await page.clock.install()
        for symbol, why in (("MSFT", "the token allows none of these symbols"), ("A" * 200, "cannot be a symbol")):
            await page.goto(f"{server.url}/#/chart/{symbol}/1m")
            await expect(page.locator(".note.over")).to_contain_text(why)
            await passes(3)  # the stream itself, and the question why, have been answered
            assert await passes(20) == 0
            assert await passes(45) >= 2


async def test_a_hidden_page_rests(visit, market) -> None:
    """Half a minute after it was hidden it gives its connection back; shown again it catches up."""
    page = await visit(market.url)
    await page.clock.install()
    await page.reload()
    await page.wait_for_selector(".lines [data-symbol]")
    await page.evaluate("Object.defineProperty(document, 'hidden', { value: true, configurable: true })")
    await page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    await page.clock.fast_forward(31_000)
    await page.wait_for_selector(".connection[data-state=resting]")
    await page.evaluate("delete document.hidden")
    await page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    await page.wait_for_selector(".connection[data-state=open]")


async def test_tabs_that_take_all_connections_say_so(visit, market) -> None:
    """Over HTTP/1.1 six streams are all that a browser has: each tab in sight says why nothing is answered.

    One that is behind others gives way at once, and what was asked meanwhile is answered.
    """
    tabs = [await visit(market.url)]
    for _ in range(5):
        await tabs[-1].wait_for_selector(".connection[data-state=open]")
        tabs.append(await tabs[0].context.new_page())
        await tabs[-1].goto(market.url)
    for tab in tabs:
        await expect(tab.locator(".crowded")).to_contain_text("all six connections")
    first, *_, last = tabs
    await first.evaluate("void fetch('healthz').then(() => { window.answered = true })")
    await expect(first.locator(".connection")).to_have_attribute("data-state", "open")
    assert not await first.evaluate("window.answered")
    await last.evaluate("Object.defineProperty(document, 'hidden', { value: true, configurable: true })")
    await last.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    await expect(last.locator(".connection")).to_have_attribute("data-state", "resting")
    for tab in tabs:
        await expect(tab.locator(".crowded")).to_be_empty()
    assert await first.evaluate("window.answered")
    await last.goto(f"{market.url}/#/chart/AAPL/1m")  # five, and one with two
    await last.reload()
    await expect(first.locator(".crowded")).to_contain_text("all six connections")
    await last.close()
    await expect(first.locator(".crowded")).to_be_empty()
