"""The Chinese page: names, lots, pinyin, and the texts of the server."""

from __future__ import annotations

from pathlib import Path

import httpx2
from playwright.async_api import expect

from tickwire.testing.server import ServerProcess

INSTRUMENTS = """symbol,name,name_zh,prev_close,lot_size
600519.SH,Kweichow Moutai,贵州茅台,1480,100
600036.SH,China Merchants Bank,招商银行,40,100
AAPL,Apple Inc.,苹果,230,
"""
TICKS = [
    {"symbol": "600519.SH", "last": 1500, "size": 25_000, "bid": 1499, "bid_size": 300, "ask": 1500, "ask_size": 50},
    {"symbol": "600036.SH", "last": 41, "size": 1000},
    {"symbol": "AAPL", "last": 231, "size": 25_000},
]


async def test_names_lots_and_pinyin_on_a_chinese_page(visit, tmp_path: Path) -> None:
    """Volumes of A-shares are lots, names are Chinese, and pinyin finds them in every search."""
    (tmp_path / "i.csv").write_text(INSTRUMENTS, encoding="utf-8")
    async with (
        ServerProcess("--feed", "http", "--instruments", "i.csv", "--journal", "memory", cwd=tmp_path) as server,
        httpx2.AsyncClient(base_url=server.url) as client,
    ):
        (await client.post("/v1/quotes", json=TICKS)).raise_for_status()
        page = await visit(server.url, locale="zh-CN")
        moutai = page.locator("[data-symbol='600519.SH']")
        await expect(moutai.locator(".name")).to_have_text("贵州茅台")
        await expect(moutai.locator(".volume")).to_have_text("250手")
        await expect(moutai.locator(".bid small")).to_have_text("3手")
        await expect(moutai.locator(".ask small")).to_have_text("0.5手")
        await expect(page.locator("[data-symbol=AAPL] .volume")).to_have_text("2.5万")

        await page.get_by_role("searchbox").fill("zsyh")
        await expect(page.locator(".lines [data-symbol]")).to_have_count(1)
        await expect(page.locator("[data-symbol='600036.SH']")).to_be_visible()
        await page.get_by_role("searchbox").fill("")
        await page.keyboard.press("Control+k")
        await page.keyboard.type("gzmt")
        await expect(page.locator("dialog [role=option]").first).to_contain_text("贵州茅台")
        await page.keyboard.press("Enter")
        await expect(page.locator(".quote-facts")).to_contain_text("250手")
        await expect(page.locator(".legend")).to_contain_text("250手")

        await page.get_by_label("语言").select_option("en")
        await expect(page.locator(".quote-facts")).to_contain_text("25K")


async def test_texts_of_the_server_are_chinese(visit, market) -> None:
    page = await visit(f"{market.url}/#/screener", locale="zh-CN")
    field = page.locator("#filter")
    for text, problem in {
        "volum > 1": "第 1 个字符： 未知字段 'volum' (是否要写 volume？)",
        "涨跌幅 > 3% 或": "第 11 个字符： 此处应为字段、数字或 “(”，但条件已结束",
    }.items():
        await field.fill(text)
        await expect(page.locator("#verdict")).to_have_text(problem)
    await field.fill("")
    await field.press_sequentially("涨跌")
    await page.locator("[role=option]", has_text="涨跌幅").click()
    await field.press_sequentially("> -100%")
    await expect(page.locator("#verdict")).to_contain_text("涉及 涨跌幅")
    await page.evaluate("location.hash = '#/market'")
    await expect(page.locator(".model")).to_contain_text("内置模型：约一百个知名品种")
