"""The page as an operator uses it: market control and operations."""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
from playwright.async_api import Browser, Page, async_playwright, expect

from tickwire.core.codec import encode
from tickwire.market.universe import built_in
from tickwire.testing.server import ServerProcess
from tickwire.testing.tokens import SECRET, token
from tickwire.testing.wire import open_stream

ROOT = Path(__file__).parents[2]
AXE = ROOT / "dashboard" / "node_modules" / "axe-core" / "axe.min.js"
ARTIFACTS = ROOT / "artifacts"
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
TOKENS = ("--auth", "secret", "--journal", "memory")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.timeout(60),
    pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine: apt-get install chromium"),
]


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        yield await playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])


@contextlib.asynccontextmanager
async def visit(browser: Browser, url: str, *, phone: bool = False, **context: object) -> AsyncIterator[Page]:
    """A page at `url`; an error in its scripts fails the test."""
    size = {"width": 390, "height": 844} if phone else {"width": 1280, "height": 860}
    page = await browser.new_page(viewport=size, **context)
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    await page.goto(url)
    yield page
    await page.close()
    assert not problems


async def accessible(page: Page) -> None:
    """Nothing that axe finds wrong."""
    await page.evaluate(AXE.read_text(encoding="utf-8"))
    found = await page.evaluate(
        "axe.run().then((result) => result.violations.map((each) => [each.id, each.nodes[0].html]))"
    )
    assert found == []


async def picture(page: Page, name: str) -> None:
    ARTIFACTS.mkdir(exist_ok=True)
    await page.screenshot(path=ARTIFACTS / f"{name}.png")


def button(page: Page, name: str):
    return page.get_by_role("button", name=name, exact=True)


async def test_figures_charts_and_clients(browser: Browser, tmp_path: Path) -> None:
    """What flows is shown with how it was; clients are put in an order, found, and evicted once one is sure."""
    async with (
        ServerProcess("--seed", "1", cwd=tmp_path) as server,
        open_stream(server.url, {"client_id": "desk-1"}) as one,
        open_stream(server.url, {"client_id": "desk-2", "symbols": "AAPL"}) as two,
        visit(browser, f"{server.url}#/operations") as page,
    ):
        await expect(page.get_by_label("Readers", exact=True).locator("output")).to_have_text("3")
        await expect(page.get_by_role("row", name="simulator")).to_contain_text("running")
        await button(page, "Client").click()
        await expect(page.get_by_role("columnheader", name="Client")).to_have_attribute("aria-sort", "ascending")
        await expect(page.locator(".clients tbody th").first).to_have_text("desk-1")
        await page.get_by_role("searchbox").fill("SK-2")
        await expect(page.locator(".clients tbody tr")).to_have_count(1)
        await button(page, "Evict desk-2").press("Enter")
        await expect(page.get_by_role("dialog")).to_be_visible()
        await page.keyboard.press("Escape")
        await expect(page.get_by_role("dialog")).to_have_count(0)
        await expect(button(page, "Evict desk-2")).to_be_focused()
        await button(page, "Evict desk-2").press("Enter")
        await accessible(page)
        await picture(page, "operations-evict")
        await page.get_by_role("dialog").get_by_role("button", name="Evict").click()
        await expect(page.get_by_text("desk-2 was evicted.")).to_be_visible()
        await expect(page.locator(".clients tbody tr")).to_have_count(0)
        (bye,) = await two.events(1, name="bye")
        assert bye.data["reason"] == "evicted"
        assert (await one.event()).name == "welcome"
        await page.get_by_role("searchbox").fill("")
        line = page.get_by_label("Deliveries", exact=True).locator(".line")
        await expect(line).to_have_attribute("d", re.compile("M"), timeout=15_000)  # a sample was taken
        await expect(page.get_by_label("Publish to flush", exact=True).locator("output")).to_have_text(
            re.compile("ms /")
        )
        await page.get_by_label("Memory", exact=True).locator("svg").hover(position={"x": 172, "y": 10})
        await expect(page.get_by_label("Readers", exact=True)).to_contain_text("ago")
        await accessible(page)
        await picture(page, "operations")


async def test_figures_are_asked_for_only_while_they_are_looked_at(browser: Browser, tmp_path: Path) -> None:
    """Every five seconds; not in another view, nor in a tab behind others."""
    async with (
        ServerProcess("--feed", "http", "--journal", "memory", cwd=tmp_path) as server,
        visit(browser, "about:blank") as page,
    ):
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

        await page.goto(f"{server.url}#/operations")
        await expect(page.get_by_label("Readers", exact=True)).to_be_visible()
        assert await passes(12) >= 1
        await page.evaluate("Object.defineProperty(document, 'hidden', {value: true, configurable: true})")
        await passes(6)
        assert await passes(20) == 0
        await page.evaluate("delete document.hidden; document.dispatchEvent(new Event('visibilitychange'))")
        assert await passes(6) >= 1
        await page.get_by_role("link", name="Connection").first.click()
        await passes(6)
        assert await passes(20) == 0


async def test_the_market_is_controlled(browser: Browser, tmp_path: Path) -> None:
    """Each command is shown at once, here and in every other page, whoever gave it; mistakes are told in place."""
    async with (
        ServerProcess("--seed", "1", "--journal", "memory", cwd=tmp_path) as server,
        httpx2.AsyncClient(base_url=server.url) as client,
        visit(browser, f"{server.url}#/market") as page,
        visit(browser, f"{server.url}#/board", locale="zh-CN", color_scheme="dark") as other,
    ):
        state, log = page.locator(".control .big"), page.locator(".happenings li").first
        await expect(state).to_contain_text("running")
        await button(page, "Pause").click()
        await expect(state).to_contain_text("paused")
        await expect(other.locator(".feed")).to_have_text("已暂停")
        await page.get_by_label("Moments to step").fill("3")
        await button(page, "Step").click()
        slider = page.get_by_role("slider", name="Speed")
        await slider.press("ArrowRight")
        await expect(log).to_contain_text("paused · speed 2×")
        await button(page, "Resume").click()
        await expect(other.locator(".feed")).to_have_text("2×")
        await client.post("/v1/simulator", json={"command": "SPEED=7"})
        await expect(page.locator(".speed output")).to_have_text("7×")
        await expect(page.get_by_role("button", name="Go there")).to_be_disabled()
        await accessible(page)
        await picture(page, "market")
        await page.get_by_label("Begin with").select_option("halt")
        await button(page, "Start the scenario").click()
        await expect(page.locator(".scenario .big")).to_have_text("A trading halt")
        await expect(page.locator(".control")).to_contain_text("AAPL, BTC-USD")
        await button(page, "End it").click()
        await expect(page.locator(".scenario .big")).to_have_text("none")
        await page.get_by_label("Script (TOML)").fill('name = "x"')
        await button(page, "Start the scenario").click()
        await expect(page.locator(".scenario [role=alert]")).to_contain_text("event")
        await other.goto(f"{server.url}#/market")
        await expect(other.locator(".model .big")).to_have_text("built-in")
        await accessible(other)
        await picture(other, "market-dark-zh")


async def test_a_model_is_looked_at_and_replaced_by_a_file(browser: Browser, tmp_path: Path) -> None:
    """Its summary is read, a file takes its place, and what is wrong with another is told."""
    path, wrong = tmp_path / "model.json", tmp_path / "wrong.json"
    text = encode(built_in()).replace(b'"version":"built-in"', b'"version":"mine"', 1)
    path.write_bytes(text)
    wrong.write_bytes(text.replace(b'"volatility":0.28', b'"volatility":-1', 1))
    async with (
        ServerProcess("--journal", "memory", cwd=tmp_path) as server,
        visit(browser, f"{server.url}#/market", phone=True, color_scheme="dark") as page,
    ):
        card = page.locator(".card.model")
        await expect(card).to_contain_text(re.compile(r"Symbols\s*105"))
        await card.locator("input[type=file]").set_input_files(path)
        await expect(card.locator(".big")).to_have_text("mine")
        await expect(card).to_contain_text(re.compile(r"Swapped since the start\s*1"))
        await card.locator("input[type=file]").set_input_files(wrong)
        await expect(card.locator("[role=alert]")).to_contain_text("symbols[0].volatility")
        await card.get_by_text("The first 50").click()
        await expect(card.get_by_role("row", name="AAPL")).to_be_visible()
        await accessible(page)
        await picture(page, "market-phone")
        await page.goto(f"{server.url}#/operations")
        await expect(page.get_by_label("Readers", exact=True)).to_be_visible()
        await accessible(page)
        await picture(page, "operations-phone")


async def test_a_recording_can_be_gone_through(browser: Browser, tmp_path: Path) -> None:
    """A time is chosen and the market is there; when it has ended there is nothing to control."""
    path = tmp_path / "one.csv"
    lines = [f"2026-01-02T15:{at // 60:02d}:{at % 60:02d}Z,A,{at + 1}" for at in range(600)]
    path.write_text("\n".join(["time,symbol,price", *lines]) + "\n")
    async with (
        ServerProcess("--feed", f"replay:{path}", "--journal", "memory", cwd=tmp_path) as server,
        visit(browser, f"{server.url}#/market") as page,
    ):
        await page.get_by_label("Go to a time of the recording (UTC)").fill("2026-01-02T15:08:00")
        await button(page, "Go there").click()
        await expect(page.locator(".control dd").first).to_contain_text("2026-01-02 15:08:")
        await expect(page.locator(".card.model")).to_have_count(0)
        await picture(page, "market-replay")
        await page.get_by_role("slider", name="Speed").press("End")
        await expect(page.locator("#reason")).to_contain_text("The recording has ended")
        await expect(button(page, "Pause")).to_be_disabled()


async def test_who_may_not_is_told_so(browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the scope controls are off and say why, and figures are not shown; an admin has them."""
    monkeypatch.setenv("TICKWIRE_AUTH_SECRET", SECRET)
    async with (
        ServerProcess(*TOKENS, cwd=tmp_path) as server,
        visit(browser, f"{server.url}#/market") as page,
    ):
        await sign_in(page, token())
        await expect(page.locator("#reason")).to_contain_text("You may look, but not control")
        for name in ("Start", "Pause", "Resume", "Stop", "Step", "Start the scenario"):
            await expect(button(page, name)).to_be_disabled()
        await expect(button(page, "Pause")).to_have_accessible_description(re.compile("scope “admin”"))
        await accessible(page)
        await picture(page, "market-rights")
        await page.goto(f"{server.url}#/operations")
        await expect(page.get_by_text("These figures are for operators")).to_be_visible()
        await button(page, "Sign out").click()
        await sign_in(page, token("admin"))
        await expect(page.get_by_label("Readers", exact=True)).to_be_visible()
        await page.goto(f"{server.url}#/market")
        await expect(button(page, "Pause")).to_be_enabled()


async def sign_in(page: Page, text: str) -> None:
    await page.get_by_label("Token").fill(text)
    await page.get_by_role("button", name="Sign in").click()
