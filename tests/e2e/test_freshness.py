"""Old prices never look current: silence, delays, a lost network and halts show on every view."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from pathlib import Path

import httpx2
import pytest
from playwright.async_api import Page, expect

from tickwire.testing.server import ServerProcess, run_server

# An element with prices in each view.
PRICES = {"#/board": ".lines .last", "#/chart/ACME/1m": ".canvas", "#/screener?filter=last>1": ".matches tbody td"}
LOOK = "node => [getComputedStyle(node).filter, getComputedStyle(node.closest('.prices') ?? node).filter].join()"


async def publish(url: str, price: float) -> None:
    async with httpx2.AsyncClient(base_url=url) as client:
        (await client.post("/v1/quotes", json=[{"symbol": "ACME", "last": price, "size": 100}])).raise_for_status()


async def expect_look(page: Page, view: str, *, grey: bool) -> None:
    """Open a view, and wait until its prices are grey (`grey` is True) or not grey (`grey` is False)."""
    await page.evaluate("hash => { location.hash = hash }", view)
    prices = page.locator(PRICES[view]).first
    await expect(prices).to_be_visible()
    while ("grayscale(1)" in await prices.evaluate(LOOK)) != grey:
        await asyncio.sleep(0.05)


async def test_silence_delay_and_lost_network_show_on_every_view(visit, tmp_path: Path) -> None:
    """The header names the reason, and the prices of all views are grey until data arrive in time again."""
    async with ServerProcess("--feed", "http", "--journal", "memory", cwd=tmp_path) as server:
        await publish(server.url, 10)
        page = await visit(f"{server.url}/healthz", shared_worker=False)
        await page.clock.install()
        label = page.locator(".connection")
        await page.goto(server.url)
        for view in PRICES:
            await expect_look(page, view, grey=False)
        os.kill(server.pid, signal.SIGSTOP)
        await page.clock.run_for(12_000)
        await expect(label).to_contain_text(re.compile(r"No data for 1\d s"))
        for view in ("#/screener?filter=last>1", "#/board"):
            await expect_look(page, view, grey=True)
        os.kill(server.pid, signal.SIGCONT)
        await publish(server.url, 11)
        await expect(page.locator("[data-stale]")).to_have_count(0)

        await page.context.set_offline(True)
        await expect(label).to_have_text("Offline")
        await expect_look(page, "#/board", grey=True)
        await page.context.set_offline(False)
        await expect(page.locator("[data-stale]")).to_have_count(0)

        await page.evaluate("location.hash = '#/connection'")
        # Wait until the page knows the latency of a price. Then move its clock ahead, so that the next price is late.
        while "ms" not in await page.locator(".figures dd").first.inner_text():
            await publish(server.url, 12)
        await page.clock.run_for(20_000)
        await publish(server.url, 13)
        await expect(label).to_contain_text(re.compile(r"Prices \d\d s late"))
        for view in PRICES:
            await expect_look(page, view, grey=True)


async def test_halt_of_a_symbol_shows_on_every_view(visit) -> None:
    """Each view names the halt beside the symbol. The board still shows the whole time."""
    async with run_server() as server, httpx2.AsyncClient(base_url=server.url) as client:
        await publish(server.url, 10)
        (await client.post("/v1/halts", json={"halt": ["ACME"]})).raise_for_status()
        page = await visit(server.url)
        row = page.locator(".lines [data-symbol=ACME]")
        await expect(row.locator(".halt")).to_have_text("Halted")
        assert await row.locator(".time").evaluate("node => node.scrollWidth <= node.clientWidth")
        await page.evaluate("location.hash = '#/screener?filter=last>1'")
        await expect(page.locator("tr[data-symbol=ACME] .halt")).to_have_text("Halted")
        await page.evaluate("location.hash = '#/chart/ACME/1m'")
        await expect(page.locator(".toolbar .halt")).to_have_text("Trading halted")
        await expect(page.locator(".candles[data-stale=halted]")).to_be_visible()
        (await client.post("/v1/halts", json={"resume": ["ACME"]})).raise_for_status()
        await expect(page.locator(".toolbar .halt")).to_be_hidden()
        await expect(page.locator("[data-stale]")).to_have_count(0)


@pytest.mark.long
async def test_slow_network_is_visible_and_slows_the_stream(visit, market) -> None:
    """At 4 KB/s, the header shows how late prices are, and the page asks for fewer updates.

    With a fast network, prices are current again.
    """
    page = await visit(f"{market.url}/#/connection", shared_worker=False)
    label = page.locator(".connection")
    await expect(label).to_have_text("Connected")
    session = await page.context.new_cdp_session(page)
    network = {"offline": False, "latency": 0, "uploadThroughput": -1}
    await session.send("Network.emulateNetworkConditions", {**network, "downloadThroughput": 4_000})
    # The new speed applies to new requests.
    await page.get_by_role("button", name="Reconnect now").click()
    await expect(label).to_contain_text(re.compile(r"Prices \d+ s late"))
    await expect_look(page, "#/board", grey=True)
    await session.send("Network.emulateNetworkConditions", {**network, "downloadThroughput": -1})
    await page.evaluate("location.hash = '#/connection'")
    await expect(page.locator("dt:has-text('Shortest time between updates') + dd")).to_have_text(re.compile("[0-9]"))
    await page.get_by_role("button", name="Reconnect now").click()
    await page.evaluate("location.hash = '#/board'")
    await expect(page.locator("[data-stale]")).to_have_count(0)
