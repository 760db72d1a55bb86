"""The market view: playback, scenarios, models and rights."""

from __future__ import annotations

import re
from pathlib import Path

import httpx2
from playwright.async_api import Locator, Page, expect

from tickwire.core.codec import encode_json
from tickwire.simulation.universe import built_in_model
from tickwire.testing.server import run_server
from tickwire.testing.tokens import TEST_SECRET, sign_token

FEED = {"feed": "simulator", "seed": 1}


def button(page: Page, name: str) -> Locator:
    return page.get_by_role("button", name=name, exact=True)


async def test_commands_show_at_once_in_every_page(visit, artifacts) -> None:
    """The commands come from a page and from a program."""
    async with run_server(**FEED) as server, httpx2.AsyncClient(base_url=server.url) as client:
        page = await visit(f"{server.url}/#/market")
        other = await visit(server.url, locale="zh-CN")
        state, log = page.locator(".control .big"), page.locator(".change-log li").first
        await expect(state).to_contain_text("running")
        await button(page, "Pause").click()
        await expect(state).to_contain_text("paused")
        await expect(other.locator(".feed")).to_have_text("已暂停")
        await page.get_by_label("Ticks to step").fill("3")
        await button(page, "Step").click()
        await expect(log).to_contain_text("paused · 3 steps")
        await page.get_by_role("slider", name="Speed").press("ArrowRight")
        await expect(log).to_contain_text("paused · speed 2×")
        await button(page, "Resume").click()
        await expect(other.locator(".feed")).to_have_text("2×")
        await client.post("/v1/simulator", json={"command": "SPEED=7"})
        await expect(page.locator(".speed output")).to_have_text("7×")
        await expect(button(page, "Seek")).to_be_disabled()
        await expect(page.locator("#no-seek")).to_contain_text("A simulation cannot seek")
        await button(page, "Stop").click()
        await expect(state).to_contain_text("stopped")
        await button(page, "Start").click()
        await expect(state).to_contain_text("running")
        await page.screenshot(path=artifacts / "market.png")
        await page.get_by_role("navigation").get_by_role("link", name="Connection").click()
        for entry in ("paused STEP=3", "paused SPEED=2", "running SPEED=7"):
            await expect(page.locator(".log td", has_text=entry)).to_have_count(1)


async def test_scenario_starts_and_ends(visit) -> None:
    """The scenario comes from a template. The error of an invalid scenario appears beside the editor."""
    async with run_server(**FEED) as server:
        page = await visit(f"{server.url}/#/market")
        await page.get_by_label("Template").select_option("halt")
        await button(page, "Start scenario").click()
        await expect(page.locator(".scenario .big")).to_have_text("A trading halt")
        await expect(page.locator(".control")).to_contain_text("AAPL, BTC-USD")
        await button(page, "Stop scenario").click()
        await expect(page.locator(".scenario .big")).to_have_text("none")
        await page.get_by_label("Script (TOML)").fill('name = "x"')
        await button(page, "Start scenario").click()
        await expect(page.locator(".scenario [role=alert]")).to_contain_text("missing required field `event`")
        assert server.runtime.status.scenario_name is None


async def test_file_replaces_the_model(visit, accessible, artifacts, tmp_path: Path) -> None:
    """The card shows a summary of the model and the error of an invalid file, also on a phone."""
    path, invalid = tmp_path / "model.json", tmp_path / "invalid.json"
    text = encode_json(built_in_model()).replace(b'"version":"built-in"', b'"version":"mine"', 1)
    # A control character that reverses the text after it must not reach the screen.
    text = text.replace(b'"sector":"Technology"', '"sector":"Tech\u202enology"'.encode(), 1)
    path.write_bytes(text)
    invalid.write_bytes(text.replace(b'"volatility":0.28', b'"volatility":-1', 1))
    async with run_server(**FEED) as server:
        phone = {"width": 390, "height": 844}
        page = await visit(f"{server.url}/#/market", viewport=phone, color_scheme="dark")
        card = page.locator(".card.model")
        await expect(card).to_contain_text(re.compile(r"Symbols\s*105"))
        await card.locator("input[type=file]").set_input_files(path)
        await expect(card.locator(".big")).to_have_text("mine")
        await expect(card).to_contain_text(re.compile(r"Changes since start\s*1"))
        await card.locator("input[type=file]").set_input_files(invalid)
        await expect(card.locator("[role=alert]")).to_contain_text("symbols[0].volatility")
        await card.get_by_text("First 50 symbols").click()
        await expect(card.get_by_role("row", name="AAPL")).to_contain_text("Technology")
        await accessible(page)
        await page.screenshot(path=artifacts / "market-model.png")


async def test_recording_can_be_sought_and_restarted(visit, artifacts, tmp_path: Path) -> None:
    """After the end of the recording, only seeking and starting are enabled."""
    path = tmp_path / "one.csv"
    lines = [f"2026-01-02T15:{at // 60:02d}:{at % 60:02d}Z,A,{at + 1}" for at in range(600)]
    path.write_text("\n".join(["time,symbol,price", *lines]) + "\n")
    async with run_server(feed=f"replay:{path}") as server:
        page = await visit(f"{server.url}/#/market")
        await page.get_by_label("Time in the recording (UTC)").fill("2026-01-02T15:08:00")
        await button(page, "Seek").click()
        await expect(page.locator(".control dd").first).to_contain_text("2026-01-02 15:08:")
        await expect(page.locator(".change-log li").first).to_contain_text("moved to 2026-01-02T15:08")
        await expect(page.locator(".card.model")).to_have_count(0)
        # A seek marks its place on the timeline.
        await expect(page.locator(".marks .change")).not_to_have_count(0)
        await page.screenshot(path=artifacts / "market-replay.png")
        await page.get_by_role("slider", name="Position in the recording").press("Home")
        await expect(page.locator(".change-log li").first).to_contain_text("moved to 2026-01-02T15:00:00")
        await page.get_by_role("slider", name="Speed").press("End")
        await expect(page.locator("#reason")).to_contain_text("The recording has ended")
        await expect(button(page, "Pause")).to_be_disabled()
        await expect(button(page, "Seek")).to_be_enabled()
        await expect(button(page, "Start")).to_be_enabled()


async def test_controls_need_the_admin_scope(visit, accessible, artifacts) -> None:
    """Without the scope, controls are disabled with a reason and the operations view is empty."""
    async with run_server(**FEED, auth="secret", auth_secret=TEST_SECRET) as server:
        page = await visit(f"{server.url}/#/market")
        await sign_in(page, sign_token())
        await expect(page.locator("#reason")).to_contain_text("You can watch the market but not control it")
        for name in ("Start", "Pause", "Resume", "Stop", "Step", "Start scenario"):
            await expect(button(page, name)).to_be_disabled()
        await expect(button(page, "Pause")).to_have_accessible_description(re.compile("scope “admin”"))
        await accessible(page)
        await page.screenshot(path=artifacts / "market-rights.png")
        await page.goto(f"{server.url}/#/operations")
        await expect(page.get_by_text("This view is for operators")).to_be_visible()
        await button(page, "Sign out").click()
        await sign_in(page, sign_token("admin"))
        await expect(page.get_by_role("group", name="Readers")).to_be_visible()
        await page.goto(f"{server.url}/#/market")
        await expect(button(page, "Pause")).to_be_enabled()


async def sign_in(page: Page, text: str) -> None:
    await page.get_by_label("Token").fill(text)
    await page.keyboard.press("Enter")
