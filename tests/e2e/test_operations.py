"""The operations view: metrics, charts and connected clients."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import pytest
from playwright.async_api import Locator, Page, expect

from tickwire.testing.clock import ManualClock
from tickwire.testing.server import ServerProcess, run_server
from tickwire.testing.wire import open_stream

# The opacity of an element, multiplied by the opacities of all its ancestors.
EFFECTIVE_OPACITY = """node => {
  let opacity = 1;
  for (let each = node; each; each = each.parentElement) opacity *= Number(getComputedStyle(each).opacity);
  return opacity;
}"""


def tile(page: Page, name: str) -> Locator:
    return page.get_by_role("group", name=name, exact=True)


def button(page: Page, name: str) -> Locator:
    return page.get_by_role("button", name=name, exact=True)


async def test_clients_can_be_sorted_searched_and_evicted(visit, accessible, artifacts) -> None:
    """Evicting needs confirmation; Escape cancels it and restores the focus. The evicted stream gets a `bye`."""
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
        # The dialog is removed, not only closed.
        await expect(page.locator("dialog")).to_have_count(0)
        await expect(button(page, "Evict desk-2")).to_be_focused()
        await page.keyboard.press("Enter")
        await page.get_by_role("dialog").get_by_role("button", name="Evict").click()
        await expect(page.get_by_text("desk-2 was evicted.")).to_be_visible()
        await expect(rows).to_have_count(0)
        (bye,) = await two.next_events(1, name="bye")
        assert bye.data["reason"] == "evicted"
        assert (await one.next_event()).name == "welcome"


async def test_tiles_show_current_and_past_metrics(visit, accessible, artifacts, tmp_path: Path) -> None:
    """While the pointer is on one chart, every tile shows its value at that time."""
    async with ServerProcess("--seed", "1", cwd=tmp_path) as server:
        page = await visit(f"{server.url}/#/operations")
        await expect(tile(page, "Readers").locator("output")).to_have_text("1")
        await expect(tile(page, "Journal")).to_contain_text("sqlite")
        await expect(page.get_by_role("row", name="simulator")).to_contain_text("running")
        await expect(tile(page, "Deliveries").locator(".line")).to_have_attribute("d", re.compile("M"))
        await expect(tile(page, "Publish to flush").locator("output")).to_have_text(re.compile("ms / .*ms"))
        stages = page.get_by_role("table", name="Time in each stage")
        await expect(stages.get_by_role("row", name="Sockets")).to_contain_text("ms")
        chart = tile(page, "Memory").locator("svg")
        await chart.hover(position={"x": (await chart.bounding_box())["width"] - 1, "y": 10})
        await expect(tile(page, "Readers")).to_contain_text("0 s ago")
        await accessible(page)
        await page.screenshot(path=artifacts / "operations.png")


async def test_the_processes_of_a_cluster(visit, accessible, artifacts, tmp_path: Path) -> None:
    """The table lists the feed process and both edges. The page's stream is at one of the edges."""
    async with ServerProcess("--workers", "2", "--seed", "1", cwd=tmp_path) as server:
        page = await visit(f"{server.url}/#/operations")
        table = page.get_by_role("table", name="Processes of the cluster")
        await expect(table.locator("tbody tr")).to_have_count(3)
        await expect(table.get_by_role("row", name="leader")).to_contain_text("feed")
        await expect(table.get_by_role("row", name="edge")).to_have_count(2)
        await expect(table.get_by_role("row", name="answers this page")).to_have_count(1)
        await expect(table.get_by_text("ready", exact=True)).to_have_count(3)
        await expect(table.locator("tbody tr td:nth-child(4)", has_text="1")).to_have_count(1)
        await accessible(page)
        await table.scroll_into_view_if_needed()
        await page.screenshot(path=artifacts / "operations-cluster.png")


@pytest.mark.parametrize("locale", ["en", "zh-CN"])
async def test_one_process_is_a_row(visit, accessible, artifacts, locale: str) -> None:
    async with run_server(feed="simulator") as server:
        page = await visit(f"{server.url}/#/operations", locale=locale, color_scheme="dark")
        rows = page.locator(".processes tbody tr")
        await expect(rows).to_have_count(1)
        await expect(rows).to_contain_text("leader" if locale == "en" else "主进程")
        await accessible(page)
        await rows.scroll_into_view_if_needed()
        await page.screenshot(path=artifacts / f"operations-process-{locale}.png")


async def test_a_value_above_its_threshold_is_marked(visit, accessible, artifacts) -> None:
    """With room for one reader, the page's own stream reaches the limit."""
    async with run_server(feed="simulator", max_readers=1) as server:
        page = await visit(f"{server.url}/#/operations")
        await expect(tile(page, "Readers")).to_have_attribute("data-level", "bad")
        await expect(tile(page, "Readers")).to_contain_text("too high")
        await expect(tile(page, "Lag")).to_have_attribute("data-level", "good")
        await accessible(page)
        await page.screenshot(path=artifacts / "operations-threshold.png")


async def test_charts_of_a_day(visit, accessible, artifacts) -> None:
    """The server has a sample for each minute of the last day."""
    clock = ManualClock()
    async with run_server(clock=clock) as server:
        await clock.advance(0)
        await clock.advance(3_600)
        page = await visit(f"{server.url}/#/operations")
        await expect(page.get_by_text("Charts show the last 15 min.")).to_be_visible()
        await button(page, "24 h").click()
        await expect(button(page, "24 h")).to_have_attribute("aria-pressed", "true")
        await expect(page.get_by_text("Charts show the last 1 h 0 min.")).to_be_visible()
        await expect(tile(page, "Memory").locator(".line")).to_have_attribute("d", re.compile("M0 "))
        await accessible(page)
        await page.screenshot(path=artifacts / "operations-day.png")


async def test_old_metrics_are_grey_with_a_notice(visit, accessible, artifacts, tmp_path: Path) -> None:
    """In one case the server is killed, and in another it hangs.

    The notice with the time of the last update stays visible while scrolling.
    """
    options = ("--data", str(tmp_path / "data"), "--seed", "1")
    async with ServerProcess(*options, cwd=tmp_path) as server:
        page = await visit(f"{server.url}/healthz", viewport={"width": 390, "height": 500})
        await page.clock.install()
        await page.goto(f"{server.url}/#/operations")
        rows, old = page.locator(".clients tbody tr"), page.locator(".operations .old")
        await expect(rows).to_have_count(1)
        # The page requests metrics separately, so the table of clients may appear before the metrics.
        await expect(tile(page, "Readers").locator("output")).to_have_text("1")
        await expect(old).to_be_hidden()
        await server.kill()
        await rows.scroll_into_view_if_needed()
        await page.clock.run_for(6_000)
        await expect(old).to_have_text(re.compile(r"Last update at \d\d:\d\d:\d\d\. Cannot reach the server\."))
        await expect(old).to_be_in_viewport(ratio=1)
        await expect(rows).to_be_in_viewport()
        for part in (".tiles", ".clients tbody tr"):
            assert await page.locator(part).evaluate(EFFECTIVE_OPACITY) < 0.6
        await page.screenshot(path=artifacts / "operations-old.png")
        async with ServerProcess(*options, "--port", server.url.rpartition(":")[2], cwd=tmp_path) as restarted:
            await page.clock.run_for(6_000)
            await expect(old).to_be_hidden()
            assert await page.locator(".tiles").evaluate(EFFECTIVE_OPACITY) == 1
            os.kill(restarted.pid, signal.SIGSTOP)
            await page.clock.run_for(6_000)
            await page.clock.run_for(11_000)
            await expect(old).to_contain_text("The server is not responding.")
            os.kill(restarted.pid, signal.SIGCONT)


async def test_metrics_are_polled_only_while_visible(visit) -> None:
    """Another view or a hidden tab stops the polling."""
    async with run_server() as server:
        page = await visit(f"{server.url}/healthz")
        requests: list[str] = []
        page.on("request", lambda request: requests.append(request.url))
        await page.clock.install()

        async def requests_during(seconds: int) -> int:
            """Advance the page's clock and return the number of requests for metrics."""
            before = len(requests)
            for _ in range(seconds):
                await page.clock.run_for(1_000)
                # After the answer to this request, the test has recorded all earlier requests.
                await page.evaluate("fetch('healthz')")
            return sum("v1/operations" in url for url in requests[before:])

        await page.goto(f"{server.url}/#/operations")
        await expect(tile(page, "Readers")).to_be_visible()
        assert await requests_during(12) >= 1
        await page.evaluate("Object.defineProperty(document, 'hidden', { value: true, configurable: true })")
        await requests_during(6)
        assert await requests_during(20) == 0
        await page.evaluate("delete document.hidden; document.dispatchEvent(new Event('visibilitychange'))")
        assert await requests_during(6) >= 1
        await page.get_by_role("navigation").get_by_role("link", name="Connection").click()
        await requests_during(6)
        assert await requests_during(20) == 0
