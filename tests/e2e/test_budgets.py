"""What the page may weigh, and how it keeps up.

For a longer look: TICKWIRE_PAGE_SECONDS=60 pytest tests/e2e/test_budgets.py -s -k busy --timeout 180
"""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pytest
from playwright.async_api import CDPSession, Page, expect

from tickwire.testing.server import ServerProcess

KILOBYTES = 150
SECONDS = float(os.environ.get("TICKWIRE_PAGE_SECONDS", "3"))
RECORD = """() => {
  const frames = window.frameTimes = [];
  let last = performance.now();
  const frame = () => {
    const now = performance.now();
    frames.push(now - last);
    last = now;
    requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
}"""
FIRST = """new MutationObserver((_, observer) => {
  if (!document.querySelector('.lines [data-symbol]')) return;
  window.firstQuotes = performance.now();
  observer.disconnect();
}).observe(document, { childList: true, subtree: true });"""


def test_all_of_the_page_in_150_kilobytes() -> None:
    """Every script, style and picture, packed as the server packs them."""
    built = Path(__file__).parents[2] / "src" / "tickwire" / "server" / "pages" / "app"
    files = [file for file in built.rglob("*") if file.is_file()]
    packed = sum(len(gzip.compress(file.read_bytes())) for file in files)
    print(f"\n{len(files)} files, {packed / 1000:.1f} KB gzipped")
    assert packed < KILOBYTES * 1000


async def test_first_quotes_within_a_second(visit, market) -> None:
    """From going there to rows on the screen. The budget is 1 s; a busy machine is given three."""
    page = await visit(f"{market.url}/healthz")
    await page.add_init_script(FIRST)
    await page.goto(market.url)
    await page.wait_for_selector(".lines [data-symbol]")
    took = await page.evaluate("window.firstQuotes")
    print(f"\nfirst quotes after {took:.0f} ms")
    assert took < 3000


@pytest.mark.slow
@pytest.mark.timeout(90 + SECONDS)
async def test_a_busy_market_is_kept_up_with(visit, tmp_path: Path) -> None:
    """500 symbols, each 20 times a second: frames go on coming, prices are fresh, and the heap does not grow."""
    symbols = [
        {"symbol": f"S{number:03}", "price": 50 + number / 3, "name": f"Number {number}"} for number in range(500)
    ]
    model = tmp_path / "busy.json"
    model.write_text(json.dumps({"format": 1, "version": "busy", "symbols": symbols}))
    async with ServerProcess("--model", str(model), "--rate", "20", "--journal", "memory", cwd=tmp_path) as server:
        page = await visit(server.url)
        await expect(page.locator("#count")).to_have_text("500 symbols")
        session = await page.context.new_cdp_session(page)
        await page.evaluate(RECORD)
        before = await heap(session)
        await page.wait_for_timeout(SECONDS * 1000)
        times = sorted(await page.evaluate("window.frameTimes"))
        after = await heap(session)
        late = await lateness(page)
    share = {part: times[int(len(times) * part)] for part in (0.5, 0.95, 0.99)}
    print(
        f"\n{len(times) / SECONDS:.1f} frames a second; ms between: p50 {share[0.5]:.1f}, p95 {share[0.95]:.1f}, ",
        end="",
    )
    print(f"p99 {share[0.99]:.1f}, most {times[-1]:.1f}; heap {before:.2f} MB, then {after:.2f}; prices late by {late}")
    assert share[0.5] < 100  # 16.7 where the machine has nothing else to do
    assert after < before + 1 + 0.02 * SECONDS


async def heap(session: CDPSession) -> float:
    """MB in use, after a collection."""
    await session.send("HeapProfiler.collectGarbage")
    return (await session.send("Runtime.getHeapUsage"))["usedSize"] / 1e6


async def lateness(page: Page) -> str:
    """What the connection view says."""
    await page.evaluate("location.hash = '#/connection'")
    await page.wait_for_selector(".figures dd")
    figures = await page.locator(".figures > div").all_inner_texts()
    return ", ".join(figure.replace("\n", " ") for figure in figures)
