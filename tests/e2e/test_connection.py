"""The page's connection: reconnecting, latency, refusals, suspension and the connection limit."""

from __future__ import annotations

import re
from pathlib import Path

from playwright.async_api import expect

from tickwire.testing.server import ServerProcess, run_server
from tickwire.testing.tokens import TEST_SECRET, sign_token
from tickwire.testing.waiting import wait_until

RECONNECTS = "dt:has-text('Reconnects') + dd"
INTERVAL = "dt:has-text('Shortest time between updates') + dd"
# Each frame takes 100 ms.
SLOW_FRAMES = """() => {
  const frame = () => {
    const end = performance.now() + 100;
    while (performance.now() < end);
    requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
}"""
# The latency is below 10 ms on an idle machine, and a second on a machine with much other work. If the page compared
# prices with the clock of another market, the latency would be several seconds.
MAX_LATENCY_MS = 2_000


async def test_page_reconnects_to_a_restarted_server(visit, tmp_path: Path) -> None:
    """During the outage prices are grey and trends are not requested.

    Afterwards the page is live again without a reload, and the trends of all visible rows are loaded.
    """
    options = ("--data", str(tmp_path / "data"), "--seed", "1")
    async with ServerProcess(*options, cwd=tmp_path) as server:
        requests: list[str] = []
        page = await visit(server.url)
        await expect(page.locator("#count")).to_have_text("105 symbols")
        await page.evaluate("window.sameDocument = true")
        await server.kill()
        await page.wait_for_selector(".board[data-stale=connection]")
        page.on("request", lambda request: requests.append(request.url) if "/v1/candles" in request.url else None)
        for key in ("End", "Home", "End"):
            await page.get_by_role("grid").press(key)
        # After this request has failed, the test has recorded all earlier requests.
        await page.evaluate("fetch('healthz').catch(() => null)")
        assert requests == []
        async with ServerProcess(*options, "--port", server.url.rpartition(":")[2], cwd=tmp_path):
            await page.wait_for_selector(".connection[data-state=open]")
            await page.wait_for_selector(".board:not([data-stale])")
            # Live prices draw a line too, so the line alone does not show that the trend was requested.
            while not any("XRP-USD" in url for url in requests):
                await page.evaluate("new Promise(requestAnimationFrame)")
            await page.wait_for_selector("[data-symbol=XRP-USD] polyline[points*=',']", state="attached")
            assert await page.evaluate("window.sameDocument")
            await page.goto(f"{server.url}/#/connection")
            await page.wait_for_selector("text=Reconnects")
            await expect(page.locator(RECONNECTS)).to_have_text("1")
            await expect(page.locator(".log tr").nth(3)).to_be_attached()


async def test_page_drops_the_quotes_of_a_replaced_market(visit, tmp_path: Path) -> None:
    """Another server starts at the same address, with a recording instead of the simulator."""
    async with ServerProcess("--journal", "memory", cwd=tmp_path) as server:
        page = await visit(server.url)
        await expect(page.locator("#count")).to_have_text("105 symbols")
        await server.kill()
        path = tmp_path / "A.csv"
        path.write_text("ts_ns,price\n" + "".join(f"{number * 10**8},{number + 1}\n" for number in range(20)))
        options = ("--feed", f"replay:{path}", "--journal", "memory", "--port", server.url.rpartition(":")[2])
        async with ServerProcess(*options, cwd=tmp_path):
            await expect(page.locator("#count")).to_have_text("1 symbol")
            await expect(page.locator(".mode")).to_have_text("Replay")


async def test_connection_view_shows_latency_percentiles(visit, market) -> None:
    """The latency runs from a price's timestamp to the frame that shows it."""
    page = await visit(f"{market.url}/#/connection")
    await expect(page.locator(".figures dd").first).to_have_text(re.compile("ms$"))

    async def has_low_median() -> bool:
        texts = await page.locator(".figures dd").all_inner_texts()
        figures = [float(text[:-3]) if text.endswith(" ms") else float(text[:-2]) * 1000 for text in texts]
        assert figures == sorted(figures)
        return figures[0] < MAX_LATENCY_MS

    await wait_until(has_low_median)


async def test_slow_page_asks_for_fewer_updates(visit, market) -> None:
    """A page whose frames take long asks for a longer interval, and the server confirms it."""
    page = await visit(f"{market.url}/#/connection")
    await expect(page.locator(INTERVAL)).to_have_text("none")
    await page.evaluate(SLOW_FRAMES)
    await expect(page.locator(INTERVAL)).to_have_text(re.compile("[0-9]"))
    name = await page.locator("code", has_text="page-").inner_text()

    async def server_knows_interval() -> bool:
        streams = await page.evaluate("name => fetch(`v1/clients/${name}`).then((answer) => answer.json())", name)
        return all(each["subscription"]["interval"] >= 100 for each in streams)

    await wait_until(server_knows_interval)


async def test_latency_is_measured_in_accelerated_market_time(visit, tmp_path: Path) -> None:
    """At twenty times the speed, the timestamps of prices are far ahead of the wall clock."""
    async with ServerProcess("--speed", "20", "--rate", "0.3", "--journal", "memory", cwd=tmp_path) as server:
        page = await visit(f"{server.url}/#/connection")
        await expect(page.locator(".feed")).to_have_text("20×")
        await expect(page.locator(".figures dd").first).to_have_text(re.compile(" ms$"))

        async def has_low_median() -> bool:
            text = await page.locator(".figures dd").first.inner_text()
            return text.endswith(" ms") and float(text[:-3]) < MAX_LATENCY_MS

        await wait_until(has_low_median)


async def test_evicted_page_reconnects_on_demand(visit, market) -> None:
    """The page stays closed until somebody clicks the button, which every view shows."""
    page = await visit(f"{market.url}/#/connection")
    await page.wait_for_selector(".connection[data-state=open]")
    name = await page.locator("code", has_text="page-").inner_text()
    await page.evaluate("name => fetch(`v1/clients/${name}`, { method: 'DELETE' })", name)
    await page.wait_for_selector(".connection[data-state=closed]")
    await expect(page.locator(".connection-view .down")).to_contain_text("An operator has ended this stream")
    await page.get_by_role("button", name="Reconnect", exact=True).click()
    await expect(page.locator(RECONNECTS)).to_have_text("1")
    await expect(page.get_by_role("button", name="Reconnect", exact=True)).to_have_count(0)


async def test_refused_page_shows_the_reason_and_retries(visit, tmp_path: Path) -> None:
    """The header names the reason, and a click on the button tries again at once."""
    async with ServerProcess("--feed", "http", "--max-readers", "1", "--journal", "memory", cwd=tmp_path) as server:
        first = await visit(server.url)
        await first.wait_for_selector(".connection[data-state=open]")
        second = await visit(f"{server.url}/#/connection")
        await second.wait_for_selector(".connection[data-state=retrying]")
        await expect(second.locator(".connection-view .down")).to_contain_text("reader")
        await first.close()
        await second.get_by_role("button", name="Reconnect now").click()
        await second.wait_for_selector(".connection[data-state=open]")


async def test_lasting_refusal_is_retried_once_a_minute(visit) -> None:
    """The status stays 400 or 403 until somebody changes the rights or the server."""
    requests: list[str] = []

    async def requests_during(seconds: int) -> int:
        """Advance the page's clock and return the number of requests for the symbol's stream."""
        before = len(requests)
        for _ in range(seconds):
            await page.clock.run_for(1_000)
            # After the answer to this request, the test has recorded all earlier requests.
            await page.evaluate("fetch('healthz')")
        return len([url for url in requests[before:] if f"symbols={symbol}" in url])

    async with run_server(feed="simulator", auth="secret", auth_secret=TEST_SECRET) as server:
        page = await visit(f"{server.url}/healthz", shared_worker=False)
        page.on("request", lambda request: requests.append(request.url))
        await page.evaluate("token => sessionStorage.setItem('tickwire.token', token)", sign_token(symbols=["AAPL"]))
        await page.clock.install()
        for symbol, reason in (
            ("MSFT", "the token allows none of the requested symbols"),
            ("A" * 200, "cannot be a symbol"),
        ):
            await page.goto(f"{server.url}/#/chart/{symbol}/1m")
            await expect(page.locator(".note.over")).to_contain_text(reason)
            # The server has answered the first request.
            await requests_during(3)
            assert await requests_during(20) == 0
            assert await requests_during(45) >= 1


async def test_hidden_page_suspends_its_stream(visit, market) -> None:
    """The stream closes half a minute after the page was hidden and reopens when it is visible."""
    page = await visit(market.url)
    await page.clock.install()
    await page.reload()
    await page.wait_for_selector(".lines [data-symbol]")
    await page.evaluate("Object.defineProperty(document, 'hidden', { value: true, configurable: true })")
    await page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    await page.clock.fast_forward(31_000)
    await page.wait_for_selector(".connection[data-state=suspended]")
    await page.evaluate("delete document.hidden")
    await page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    await page.wait_for_selector(".connection[data-state=open]")


async def test_all_windows_share_their_streams(visit, market) -> None:
    """Eight windows with boards, charts and screeners have one stream for each kind of data, not for each window.

    A window that is opened later shows the prices at once, and a window that is closed ends its streams only.
    """
    views = ("#/board", "#/chart/AAPL/1m", "#/chart/MSFT/1m", "#/screener?filter=last>1") * 2
    windows = [await visit(f"{market.url}/{views[0]}")]
    await windows[0].wait_for_selector(".connection[data-state=open]")
    for view in views[1:]:
        windows.append(await windows[0].context.new_page())
        await windows[-1].goto(f"{market.url}/{view}")
    for window in windows:
        await window.wait_for_selector(".connection[data-state=open]")
    charts, screeners = [*windows[1::4], *windows[2::4]], windows[3::4]
    for chart in charts:
        await chart.wait_for_selector(".legend:has-text('O')")
    for screener in screeners:
        await screener.wait_for_selector(".matches tbody tr")

    async def streams() -> list[tuple[list[str], list[str]]]:
        clients = await windows[0].evaluate("fetch('v1/clients').then((answer) => answer.json())")
        return sorted((each["subscription"]["events"], each["subscription"]["symbols"]) for each in clients)

    async def has_three_streams() -> bool:
        return await streams() == [
            (["quote", "candle"], ["AAPL", "MSFT"]),
            (["quote", "screen"], ["*"]),
            (["quote", "status"], ["*"]),
        ]

    await wait_until(has_three_streams)
    for window in windows[:-1]:
        assert await window.locator(".connection-limit").inner_text() == ""
    for window in windows[2::4]:
        await window.close()

    async def has_one_chart() -> bool:
        return (await streams())[0] == (["quote", "candle"], ["AAPL"])

    await wait_until(has_one_chart)


async def test_tabs_report_exhausted_connections(visit, market) -> None:
    """Over HTTP/1.1, six streams use all connections of the browser.

    Every visible tab then explains why requests wait. When a tab is hidden, it closes its stream at once, and the
    waiting request is answered.
    """
    tabs = [await visit(f"{market.url}/#/board")]
    # The board has one stream for all tabs, and each chart with another interval has a stream.
    for interval in ("1s", "5s", "15s", "1m", "5m"):
        await tabs[-1].wait_for_selector(".connection[data-state=open]")
        tabs.append(await tabs[0].context.new_page())
        await tabs[-1].goto(f"{market.url}/#/chart/AAPL/{interval}")
    for tab in tabs:
        await expect(tab.locator(".connection-limit")).to_contain_text("all six connections")
    first, *_, last = tabs
    await first.evaluate("void fetch('healthz').then(() => { window.answered = true })")
    await expect(first.locator(".connection")).to_have_attribute("data-state", "open")
    assert not await first.evaluate("window.answered")
    await last.evaluate("Object.defineProperty(document, 'hidden', { value: true, configurable: true })")
    await last.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    await expect(last.locator(".connection")).to_have_attribute("data-state", "suspended")
    for tab in tabs[:-1]:
        await expect(tab.locator(".connection-limit")).to_be_empty()
    await wait_until(lambda: first.evaluate("window.answered"))
    await last.evaluate("delete document.hidden")
    await last.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    await expect(first.locator(".connection-limit")).to_contain_text("all six connections")
    await last.close()
    await expect(first.locator(".connection-limit")).to_be_empty()
