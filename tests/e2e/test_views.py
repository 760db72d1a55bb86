"""Every view in every look: pictures for people, and axe for those who cannot see them."""

from __future__ import annotations

import re
from typing import NamedTuple

from playwright.async_api import Page, expect


class Look(NamedTuple):
    """How somebody sees the page."""

    scheme: str = "light"
    language: str = "en"
    width: int = 1280
    height: int = 800


LOOKS = {
    "light": Look(),
    "dark": Look(scheme="dark"),
    "chinese": Look(language="zh"),
    "phone": Look(scheme="dark", width=390, height=844),
}
# What is there once a view has something to show. The last ones are states that no link of the navigation has.
SHOWN = {
    "#/board": "[data-symbol=AAPL] polyline[points*=',']",
    "#/chart": ".legend",
    "#/screener": ".invitation a",
    "#/market": ".card.model dl",
    "#/operations": ".clients tbody tr",
    "#/connection": ".log tbody tr",
    "#/chart/AAPLE/1m": ".note.over .near a",
    "#/chart/AAPL/1s": ".legend",
    "#/screener?filter=volume > 100": ".moves li",
}


async def test_no_view_shuts_anybody_out(visit, market, artifacts, request) -> None:
    """axe-core finds nothing serious in any view that the navigation leads to, and nothing is wider than the screen."""
    axe = request.config.rootpath / "dashboard" / "node_modules" / "axe-core" / "axe.min.js"
    page = await visit(market.url)
    links = page.locator("nav.views a")
    await expect(links.first).to_be_visible()
    assert set(await links.evaluate_all("links => links.map(({ hash }) => hash)")) <= set(SHOWN)
    await page.evaluate(axe.read_text(encoding="utf-8"))
    found = []
    for name, look in LOOKS.items():
        await put_on(page, look)
        for view, shown in SHOWN.items():
            await page.evaluate("hash => { location.hash = hash }", view)
            await page.wait_for_selector(shown, state="attached")
            place = re.sub(r"\W+", "-", view).strip("-") + f"-{name}"
            await page.screenshot(path=artifacts / f"{place}.png")
            result = await page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
            found += [(place, each) for each in map(_serious, result["violations"]) if each]
            assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), place
    assert found == []


async def put_on(page: Page, look: Look) -> None:
    """Have the page look so, without another visit to it."""
    await page.emulate_media(color_scheme=look.scheme)
    await page.set_viewport_size({"width": look.width, "height": look.height})
    await page.locator(".top select").first.select_option(look.language)
    await expect(page.locator("html")).to_have_attribute("lang", re.compile(look.language))


def _serious(violation: dict) -> str:
    if violation["impact"] not in ("serious", "critical"):
        return ""
    places = [node["html"][:150] + " " + node.get("failureSummary", "")[:300] for node in violation["nodes"][:3]]
    return f"{violation['id']}: {violation['help']} at {places}"
