"""The operator's view: figures, charts, and who is connected."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

from playwright.async_api import Locator, Page, expect

from tickwire.testing.server import ServerProcess, run_server
from tickwire.testing.wire import open_stream

# How much of a colour is left where an element stands.
GREYNESS = """node => {
  let left = 1;
  for (let at = node; at; at = at.parentElement) left *= Number(getComputedStyle(at).opacity);
  return left;
}"""


def tile(page: Page, name: str) -> Locator:
    return page.get_by_role("group", name=name, exact=True)


def button(page: Page, name: str) -> Locator:
    return page.get_by_role("button", name=name, exact=True)


async def test_clients_are_put_in_order_found_and_evicted(visit, accessible, artifacts) -> None:
    """Once one is sure: Escape is no, and leads back to where one was; the other side gets a `bye`."""
    async with (
        run_server(feed="simulator") as server,
        open_stream(server.url, {"client_id": "desk-1"}) as one,
        open_stream(server.url, {"client_id": "desk-2", "symbols": "AAPL"}) as two,
    ):
        page = await visit(f"{server.url}/#/operations")
        rows = page.locator(".clients tbody tr")
        await expect(rows).to_have_count(3)
        await expect(rows.filter(has_text="page-")).to_contain_text("this page")
        await button(page, "Client").click()
        await expect(page.get_by_role("columnheader", name="Client")).to_have_attribute("aria-sort", "ascending")
        await expect(rows.first).to_contain_text("desk-1")
        await page.get_by_role("searchbox").fill("SK-2")
        await expect(rows).to_have_count(1)
        await button(page, "Evict desk-2").press("Enter")
        await expect(page.get_by_role("dialog")).to_be_visible()
        await accessible(page)
        await page.screenshot(path=artifacts / "operations-evict.png")
        await page.keyboard.press("Escape")
        await expect(page.locator("dialog")).to_have_count(0)  # gone from the page, not only closed
        await expect(button(page, "Evict desk-2")).to_be_focused()
        await page.keyboard.press("Enter")
        await page.get_by_role("dialog").get_by_role("button", name="Evict").click()
        await expect(page.get_by_text("desk-2 was evicted.")).to_be_visible()
        await expect(rows).to_have_count(0)
        (bye,) = await two.events(1, name="bye")
        assert bye.data["reason"] == "evicted"
        assert (await one.event()).name == "welcome"


async def test_figures_of_now_and_how_they_were(visit, accessible, artifacts, tmp_path: Path) -> None:
    """Tiles and feeds at once; charts with the first sample; pointing at one tells all figures of that moment."""
    async with ServerProcess("--seed", "1", cwd=tmp_path) as server:
        page = await visit(f"{server.url}/#/operations")
        await expect(tile(page, "Readers").locator("output")).to_have_text("1")
        await expect(tile(page, "Journal")).to_contain_text("sqlite")
        await expect(page.get_by_role("row", name="simulator")).to_contain_text("running")
        await expect(tile(page, "Deliveries").locator(".line")).to_have_attribute("d", re.compile("M"))
        await expect(tile(page, "Publish to flush").locator("output")).to_have_text(re.compile("ms / .*ms"))
        chart = tile(page, "Memory").locator("svg")
        await chart.hover(position={"x": (await chart.bounding_box())["width"] - 1, "y": 10})
        await expect(tile(page, "Readers")).to_contain_text("0 s ago")
        await accessible(page)
        await page.screenshot(path=artifacts / "operations.png")


async def test_old_figures_look_old(visit, accessible, artifacts, tmp_path: Path) -> None:
    """Of a server that is gone, or that hangs: all is grey, and since when is said, however far one has scrolled."""
    options = ("--data", str(tmp_path / "data"), "--seed", "1")
    server = await ServerProcess(*options, cwd=tmp_path).start()
    page = await visit(f"{server.url}/healthz", viewport={"width": 390, "height": 500})
    await page.clock.install()
    await page.goto(f"{server.url}/#/operations")
    rows, old = page.locator(".clients tbody tr"), page.locator(".operations .old")
    await expect(rows).to_have_count(1)
    await expect(old).to_be_hidden()
    await server.kill()
    await rows.scroll_into_view_if_needed()
    await page.clock.run_for(6_000)
    await expect(old).to_have_text(
        re.compile(r"of \d\d:\d\d:\d\d, there is nothing newer: The server cannot be reached\.")
    )
    await expect(old).to_be_in_viewport(ratio=1)
    await expect(rows).to_be_in_viewport()
    for part in (".tiles", ".clients tbody tr"):
        assert await page.locator(part).evaluate(GREYNESS) < 0.6
    await page.screenshot(path=artifacts / "operations-old.png")
    async with ServerProcess(*options, "--port", server.url.rpartition(":")[2], cwd=tmp_path) as again:
        await page.clock.run_for(6_000)
        await expect(old).to_be_hidden()
        assert await page.locator(".tiles").evaluate(GREYNESS) == 1
        os.kill(again.pid, signal.SIGSTOP)
        await page.clock.run_for(6_000)
        await page.clock.run_for(11_000)
        await expect(old).to_contain_text("The server does not answer.")
        os.kill(again.pid, signal.SIGCONT)


async def test_figures_are_asked_for_only_while_they_are_looked_at(visit) -> None:
    """Every five seconds; not in another view, nor in a tab behind others."""
    async with run_server() as server:
        page = await visit(f"{server.url}/healthz")
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        await page.clock.install()

        async def passes(seconds: int) -> int:
            """How often figures are asked for in that time of the page's clock."""
            before = len(asked)
            for _ in range(seconds):
                await page.clock.run_for(1_000)
                await page.evaluate("fetch('healthz')")  # what was asked before has been answered then
            return sum("v1/operations" in url for url in asked[before:])

        await page.goto(f"{server.url}/#/operations")
        await expect(tile(page, "Readers")).to_be_visible()
        assert await passes(12) >= 1
        await page.evaluate("Object.defineProperty(document, 'hidden', { value: true, configurable: true })")
        await passes(6)
        assert await passes(20) == 0
        await page.evaluate("delete document.hidden; document.dispatchEvent(new Event('visibilitychange'))")
        assert await passes(6) >= 1
        await page.get_by_role("navigation").get_by_role("link", name="Connection").click()
        await passes(6)
        assert await passes(20) == 0
