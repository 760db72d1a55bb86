"""The hands on the market, in the page."""

from __future__ import annotations

import re
from pathlib import Path

import httpx2
from playwright.async_api import Locator, Page, expect

from tickwire.core.codec import encode
from tickwire.market.universe import built_in
from tickwire.testing.server import run_server
from tickwire.testing.tokens import SECRET, token

FEED = {"feed": "simulator", "seed": 1}


def button(page: Page, name: str) -> Locator:
    return page.get_by_role("button", name=name, exact=True)


async def test_every_command_is_seen_at_once_in_every_page(visit, artifacts) -> None:
    """Whoever gave it: this page, another one, or a program."""
    async with run_server(**FEED) as server, httpx2.AsyncClient(base_url=server.url) as client:
        page = await visit(f"{server.url}/#/market")
        other = await visit(server.url, locale="zh-CN")
        state, log = page.locator(".control .big"), page.locator(".happenings li").first
        await expect(state).to_contain_text("running")
        await button(page, "Pause").click()
        await expect(state).to_contain_text("paused")
        await expect(other.locator(".feed")).to_have_text("已暂停")
        await page.get_by_label("Moments to step").fill("3")
        await button(page, "Step").click()
        await expect(log).to_contain_text("paused · stepped 3 moments")
        await page.get_by_role("slider", name="Speed").press("ArrowRight")
        await expect(log).to_contain_text("paused · speed 2×")
        await button(page, "Resume").click()
        await expect(other.locator(".feed")).to_have_text("2×")
        await client.post("/v1/simulator", json={"command": "SPEED=7"})
        await expect(page.locator(".speed output")).to_have_text("7×")
        await expect(button(page, "Go there")).to_be_disabled()
        await expect(page.locator("#no-seek")).to_contain_text("A simulation has no past")
        await button(page, "Stop").click()
        await expect(state).to_contain_text("halted")
        await button(page, "Start").click()
        await expect(state).to_contain_text("running")
        await page.screenshot(path=artifacts / "market.png")
        await page.get_by_role("navigation").get_by_role("link", name="Connection").click()
        for told in ("paused STEP=3", "paused SPEED=2", "running SPEED=7"):
            await expect(page.locator(".log td", has_text=told)).to_have_count(1)


async def test_a_scenario_is_begun_and_ended(visit) -> None:
    """From a template; what it does is shown, and what is wrong with another is told in place."""
    async with run_server(**FEED) as server:
        page = await visit(f"{server.url}/#/market")
        await page.get_by_label("Begin with").select_option("halt")
        await button(page, "Start the scenario").click()
        await expect(page.locator(".scenario .big")).to_have_text("A trading halt")
        await expect(page.locator(".control")).to_contain_text("AAPL, BTC-USD")
        await button(page, "End it").click()
        await expect(page.locator(".scenario .big")).to_have_text("none")
        await page.get_by_label("Script (TOML)").fill('name = "x"')
        await button(page, "Start the scenario").click()
        await expect(page.locator(".scenario [role=alert]")).to_contain_text("missing required field `event`")
        assert server.runtime.status.scenario is None


async def test_a_model_is_read_and_replaced_by_a_file(visit, accessible, artifacts, tmp_path: Path) -> None:
    """Its summary is read, a file takes its place, and what is wrong with another is told; on a phone."""
    path, wrong = tmp_path / "model.json", tmp_path / "wrong.json"
    text = encode(built_in()).replace(b'"version":"built-in"', b'"version":"mine"', 1)
    path.write_bytes(text)
    wrong.write_bytes(text.replace(b'"volatility":0.28', b'"volatility":-1', 1))
    async with run_server(**FEED) as server:
        small = {"width": 390, "height": 844}
        page = await visit(f"{server.url}/#/market", viewport=small, color_scheme="dark")
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
        await page.screenshot(path=artifacts / "market-model.png")


async def test_a_recording_can_be_gone_through(visit, artifacts, tmp_path: Path) -> None:
    """A time is chosen and the market is there; when it has ended it can be begun again."""
    path = tmp_path / "one.csv"
    lines = [f"2026-01-02T15:{at // 60:02d}:{at % 60:02d}Z,A,{at + 1}" for at in range(600)]
    path.write_text("\n".join(["time,symbol,price", *lines]) + "\n")
    async with run_server(feed=f"replay:{path}") as server:
        page = await visit(f"{server.url}/#/market")
        await page.get_by_label("Go to a time of the recording (UTC)").fill("2026-01-02T15:08:00")
        await button(page, "Go there").click()
        await expect(page.locator(".control dd").first).to_contain_text("2026-01-02 15:08:")
        await expect(page.locator(".happenings li").first).to_contain_text("went to 2026-01-02T15:08")
        await expect(page.locator(".card.model")).to_have_count(0)
        await page.screenshot(path=artifacts / "market-replay.png")
        await page.get_by_role("slider", name="Speed").press("End")
        await expect(page.locator("#reason")).to_contain_text("The recording has ended")
        await expect(button(page, "Pause")).to_be_disabled()
        await expect(button(page, "Go there")).to_be_enabled()
        await expect(button(page, "Start")).to_be_enabled()


async def test_who_may_not_is_told_so(visit, accessible, artifacts) -> None:
    """Without the scope controls are off and say why, and figures are not shown; an admin has them."""
    async with run_server(**FEED, auth="secret", auth_secret=SECRET) as server:
        page = await visit(f"{server.url}/#/market")
        await sign_in(page, token())
        await expect(page.locator("#reason")).to_contain_text("You may look, but not control")
        for name in ("Start", "Pause", "Resume", "Stop", "Step", "Start the scenario"):
            await expect(button(page, name)).to_be_disabled()
        await expect(button(page, "Pause")).to_have_accessible_description(re.compile("scope “admin”"))
        await accessible(page)
        await page.screenshot(path=artifacts / "market-rights.png")
        await page.goto(f"{server.url}/#/operations")
        await expect(page.get_by_text("These figures are for operators")).to_be_visible()
        await button(page, "Sign out").click()
        await sign_in(page, token("admin"))
        await expect(page.get_by_role("group", name="Readers")).to_be_visible()
        await page.goto(f"{server.url}/#/market")
        await expect(button(page, "Pause")).to_be_enabled()


async def sign_in(page: Page, text: str) -> None:
    await page.get_by_label("Token").fill(text)
    await page.keyboard.press("Enter")
