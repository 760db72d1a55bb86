"""Budgets of the page: its size, its start and its speed in a busy market.

Measure for longer with: TICKWIRE_PAGE_SECONDS=60 pytest tests/e2e/test_budgets.py -s -k busy --timeout 180
"""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pytest
from playwright.async_api import CDPSession, Page, expect

from tickwire.testing.server import ServerProcess

# A browser loads either the shared worker or its fallback (7 KB each), a chart only when a user opens one, and the
# dictionary of pinyin (20 KB) only when a user searches for Chinese names.
MAX_KILOBYTES = 210
MAX_INITIAL_KILOBYTES = 130
BUILT = Path(__file__).parents[2] / "src" / "tickwire" / "server" / "pages" / "app"
DURATION_S = float(os.environ.get("TICKWIRE_PAGE_SECONDS", "3"))
RECORD_FRAME_TIMES = """() => {
  const frames = window.frameTimes = [];
  let last = performance.now();
  const frame = () => {
    const now = performance.now();
    frames.push(now - last);
    last = now;
    requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
  window.longTasks = [];
  new PerformanceObserver((list) => window.longTasks.push(...list.getEntries().map((task) => task.duration)))
    .observe({ type: 'longtask' });
}"""
RECORD_FIRST_QUOTES = """new MutationObserver((_, observer) => {
  if (!document.querySelector('.lines [data-symbol]')) return;
  window.firstQuotes = performance.now();
  observer.disconnect();
}).observe(document, { childList: true, subtree: true });"""


def test_all_files_of_the_page_are_smaller_than_the_limit() -> None:
    """All files are compressed as the server compresses them."""
    files = [file for file in BUILT.rglob("*") if file.is_file()]
    size = sum(len(gzip.compress(file.read_bytes())) for file in files)
    print(f"\n{len(files)} files, {size / 1000:.1f} KB gzipped")
    assert size < MAX_KILOBYTES * 1000


async def test_first_quotes_appear_within_a_second(visit, market) -> None:
    """The limit from navigation to the first rows is 1 s. The files that the page loads until then are small.

    On a busy machine, the test allows 3 s and several attempts.
    """
    page = await visit(f"{market.url}/healthz")
    loaded = {BUILT / "index.html"}
    page.on("request", lambda request: loaded.add(BUILT / request.url.removeprefix(f"{market.url}/")))
    await page.add_init_script(RECORD_FIRST_QUOTES)
    attempts: list[float] = []
    while not attempts or (attempts[-1] >= 3000 and len(attempts) < 10):
        await page.goto("about:blank")
        await page.goto(market.url)
        await page.wait_for_selector(".lines [data-symbol]")
        attempts.append(await page.evaluate("window.firstQuotes"))
    print(f"\nfirst quotes after {[round(each) for each in attempts]} ms")
    assert attempts[-1] < 3000
    size = sum(len(gzip.compress(file.read_bytes())) for file in loaded if file.is_file())
    print(f"{size / 1000:.1f} KB gzipped")
    assert size < MAX_INITIAL_KILOBYTES * 1000


# The test judges absolute frame times, which depend on the machine and on its other load.
@pytest.mark.long
async def test_page_keeps_up_with_a_busy_market(visit, tmp_path: Path) -> None:
    """With 10,000 quotes per second for 500 symbols, frames arrive in time and the heap does not grow."""
    symbols = [
        {"symbol": f"S{number:03}", "price": 50 + number / 3, "name": f"Number {number}"} for number in range(500)
    ]
    model = tmp_path / "busy.json"
    model.write_text(json.dumps({"format": 1, "version": "busy", "symbols": symbols}))
    async with ServerProcess("--model", str(model), "--rate", "20", "--journal", "memory", cwd=tmp_path) as server:
        page = await visit(server.url)
        await expect(page.locator("#count")).to_have_text("500 symbols")
        session = await page.context.new_cdp_session(page)
        await page.evaluate(RECORD_FRAME_TIMES)
        heap_before = await used_heap(session)
        await page.wait_for_timeout(DURATION_S * 1000)
        times = sorted(await page.evaluate("window.frameTimes"))
        long_tasks = await page.evaluate("window.longTasks")
        heap_after = await used_heap(session)
        latency = await latency_summary(page)
    percentiles = {part: times[int(len(times) * part)] for part in (0.5, 0.95, 0.99)}
    p50, p95, p99 = percentiles.values()
    print(f"\n{len(times) / DURATION_S:.1f} frames per second", end="; ")
    print(f"ms between frames: p50 {p50:.1f}, p95 {p95:.1f}, p99 {p99:.1f}, max {times[-1]:.1f}", end="; ")
    share = sum(long_tasks) / DURATION_S / 1000
    print(f"{len(long_tasks)} long tasks, {share:.2%} of the time", end="; ")
    print(f"heap {heap_before:.2f} MB, then {heap_after:.2f} MB; latency {latency}")
    # On an idle machine, this value is 16.7 ms.
    assert p50 < 100
    assert heap_after < heap_before + 1 + 0.02 * DURATION_S


async def used_heap(session: CDPSession) -> float:
    """Return the used heap in MB, after a garbage collection."""
    await session.send("HeapProfiler.collectGarbage")
    return (await session.send("Runtime.getHeapUsage"))["usedSize"] / 1e6


async def latency_summary(page: Page) -> str:
    """Return the latencies in the connection view."""
    await page.evaluate("location.hash = '#/connection'")
    await page.wait_for_selector(".figures dd")
    figures = await page.locator(".figures > div").all_inner_texts()
    return ", ".join(figure.replace("\n", " ") for figure in figures)
