"""The page about the API."""

from __future__ import annotations


async def test_it_lists_the_stream(visit, market) -> None:
    """/docs shows every path and every parameter of the stream, from the server itself."""
    page = await visit(f"{market.url}/docs")
    await page.get_by_text("/v1/stream").first.wait_for()
    text = await page.inner_text("body")
    for word in ("/v1/quotes", "/v1/instruments", "/readyz", "last_event_id", "delivery"):
        assert word in text
