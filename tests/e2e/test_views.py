"""Every view in every appearance: screenshots, and accessibility checks with axe."""

from __future__ import annotations

import re
from typing import NamedTuple

from playwright.async_api import Page, expect

from tickwire.testing.marks import short_and_long


class Appearance(NamedTuple):
    """The settings and the screen of a user."""

    scheme: str = "light"
    language: str = "en"
    width: int = 1440
    height: int = 900


APPEARANCES = {
    "light": Appearance(),
    "dark": Appearance(scheme="dark"),
    "chinese": Appearance(language="zh"),
    "phone": Appearance(scheme="dark", width=390, height=844),
    "chinese phone": Appearance(language="zh", width=390, height=844),
    "wide": Appearance(width=2560, height=1440),
    "dark chinese wide": Appearance(scheme="dark", language="zh", width=2560, height=1440),
}
# For each address, a selector that matches once the view has data. The navigation does not contain the last addresses.
READY_SELECTORS = {
    "#/board": "[data-symbol=AAPL] polyline[points*=',']",
    "#/overview": ".treemap .symbol-tile",
    "#/chart": ".legend",
    "#/screener": ".invitation a",
    "#/alerts": ".alerts form",
    "#/market": ".card.model dl",
    "#/operations": ".clients tbody tr",
    "#/connection": ".log tbody tr",
    "#/chart/AAPLE/1m": ".note.over .similar a",
    "#/chart/AAPL/1s": ".legend",
    "#/chart/AAPL/intraday?compare=SPY&more=MSFT/1s/": ".pane + .pane .legend",
    "#/screener?filter=volume > 100": ".screen-log li",
}


# WCAG 2.2 at level AA. axe checks the size of targets only on request.
AXE = """axe.run(document, {
    resultTypes: ['violations'],
    runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'],
})"""


@short_and_long("names", ["light", "phone"], [*APPEARANCES])
async def test_views_are_accessible(visit, market, artifacts, request, names: list[str]) -> None:
    """axe-core finds no serious violation in any view, and no view is wider than the screen."""
    axe = request.config.rootpath / "dashboard" / "node_modules" / "axe-core" / "axe.min.js"
    page = await visit(market.url)
    links = page.locator("nav.views a")
    await expect(links.first).to_be_visible()
    assert set(await links.evaluate_all("links => links.map(({ hash }) => hash)")) <= set(READY_SELECTORS)
    await page.evaluate(axe.read_text(encoding="utf-8"))
    violations = []
    for name in names:
        await apply(page, APPEARANCES[name])
        for view, selector in READY_SELECTORS.items():
            await page.evaluate("hash => { location.hash = hash }", view)
            await page.wait_for_selector(selector, state="attached")
            label = re.sub(r"\W+", "-", view).strip("-") + f"-{name}"
            await page.screenshot(path=artifacts / f"{label}.png")
            result = await page.evaluate(AXE)
            violations += [(label, each) for each in map(_describe_serious, result["violations"]) if each]
            assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), label
    assert violations == []


async def apply(page: Page, appearance: Appearance) -> None:
    """Change the appearance of an open page."""
    await page.emulate_media(color_scheme=appearance.scheme)
    await page.set_viewport_size({"width": appearance.width, "height": appearance.height})
    await page.locator(".top select").first.select_option(appearance.language)
    await expect(page.locator("html")).to_have_attribute("lang", re.compile(appearance.language))


async def test_unknown_address_shows_not_found(visit, market) -> None:
    """The addresses include the name of a property that every JavaScript object has."""
    page = await visit(f"{market.url}/#/__proto__")
    for path in ("__proto__", "constructor", "boards"):
        await page.evaluate("hash => { location.hash = hash }", f"#/{path}")
        await expect(page).to_have_title(re.compile("Not found"))
        await expect(page.get_by_role("heading", name="Not found")).to_be_visible()
    await page.get_by_role("main").get_by_role("link", name="Board").click()
    await expect(page.locator(".lines [data-symbol]").first).to_be_visible()


async def test_view_whose_files_fail_to_load_is_tried_again(visit, market) -> None:
    """The view appears with its style once its files arrive, without a click."""
    page = await visit(market.url)
    await expect(page.locator(".lines [data-symbol]").first).to_be_visible()
    await page.clock.install()
    await page.route("**/*View-*", lambda route: route.abort())
    await page.evaluate("location.hash = '#/connection'")
    await expect(page.get_by_text("Cannot load this view.")).to_be_visible()
    await page.unroute("**/*View-*")
    await page.clock.run_for(6_000)
    card = page.locator(".connection-view .log")
    await expect(card).to_be_visible()
    assert await page.locator(".connection-view").evaluate("node => getComputedStyle(node).display") == "grid"


def _describe_serious(violation: dict) -> str:
    if violation["impact"] not in ("serious", "critical"):
        return ""
    places = [node["html"][:150] + " " + node.get("failureSummary", "")[:300] for node in violation["nodes"][:3]]
    return f"{violation['id']}: {violation['help']} at {places}"
