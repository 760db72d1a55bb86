"""Every view in every look: pictures for people, and axe for those who cannot see them."""

from __future__ import annotations

import re

import pytest

LOOKS = {
    "light": {},
    "dark": {"color_scheme": "dark"},
    "chinese": {"locale": "zh-CN"},
    "phone": {"viewport": {"width": 390, "height": 844}, "color_scheme": "dark", "has_touch": True},
}
BEYOND = ("#/chart/AAPL/1s", "#/chart/NOSUCH/1m", "#/screener?filter=volume > 100")  # states that no link of it has
SETTLED = 400  # ms: time for a view to have something to show


@pytest.mark.parametrize("look", LOOKS)
async def test_no_view_shuts_anybody_out(visit, market, artifacts, request, look: str) -> None:
    """axe-core finds nothing serious in any view that the navigation leads to, and nothing is wider than the screen."""
    axe = request.config.rootpath / "dashboard" / "node_modules" / "axe-core" / "axe.min.js"
    page = await visit(market.url, **LOOKS[look])
    await page.wait_for_selector(".lines [data-symbol]")
    views = await page.eval_on_selector_all("nav.views a", "links => links.map(({ hash }) => hash)")
    await page.evaluate(axe.read_text(encoding="utf-8"))
    found = []
    for view in (*views, *BEYOND):
        await page.evaluate("hash => { location.hash = hash }", view)
        await page.wait_for_timeout(SETTLED)
        name = re.sub(r"\W+", "-", view).strip("-")
        await page.screenshot(path=artifacts / f"{name}-{look}.png")
        result = await page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
        found += [(name, each) for each in map(_serious, result["violations"]) if each]
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name
    assert found == []


def _serious(violation: dict) -> str:
    if violation["impact"] not in ("serious", "critical"):
        return ""
    places = [node["html"][:150] + " " + node.get("failureSummary", "")[:300] for node in violation["nodes"][:3]]
    return f"{violation['id']}: {violation['help']} at {places}"
