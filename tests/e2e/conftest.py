"""A real browser for all tests of the dashboard, and pages in it that watch themselves."""

from __future__ import annotations

import inspect
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TypeAlias

import pytest
import pytest_asyncio
from playwright.async_api import Browser, ConsoleMessage, Page, Request, async_playwright, expect

from tickwire.testing.server import ServerProcess

ROOT = Path(__file__).parents[2]
BUILT = ROOT / "src" / "tickwire" / "server" / "pages" / "app"
ARTIFACTS = ROOT / "artifacts"
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

# Playwright's wait_for_function evaluates in the page, where our policy forbids it; expect() does not.
expect.set_options(timeout=20_000)

Visit: TypeAlias = Callable[..., Awaitable[Page]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here needs a browser and a built page, and shares one loop, so that it can share the browser."""
    for item in items:
        if Path(__file__).parent not in item.path.parents:
            continue
        item.add_marker(pytest.mark.browser)
        if inspect.iscoroutinefunction(getattr(item, "function", None)):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)
        item.add_marker(pytest.mark.timeout(90))
        if BROWSER is None:
            item.add_marker(pytest.mark.skip(reason="no Chromium on this machine: apt-get install chromium"))
        if not (BUILT / "index.html").exists():
            item.add_marker(pytest.mark.skip(reason="the page is not built: python dashboard/build.py"))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield browser
        await browser.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def market(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ServerProcess]:
    """A simulated market that runs for all tests that only look at one."""
    folder = tmp_path_factory.mktemp("market")
    async with ServerProcess("--seed", "1", "--journal", "memory", cwd=folder) as server:
        yield server


@pytest_asyncio.fixture(loop_scope="session")
async def visit(browser: Browser) -> AsyncIterator[Visit]:
    """Opens a page at an address, in a browser profile of its own.

    In the end no page may have failed, have been stopped by its policy, or have asked another server for anything.
    """
    contexts, problems = [], []

    async def open_page(url: str, **options: object) -> Page:
        context = await browser.new_context(
            **{"viewport": {"width": 1280, "height": 800}, "locale": "en-US", **options}
        )
        contexts.append(context)
        page = await context.new_page()
        origin = "/".join(url.split("/")[:3])

        def on_request(request: Request) -> None:
            if not request.url.startswith((origin, "data:", "blob:")):
                problems.append(f"asked {request.url}")

        def on_console(message: ConsoleMessage) -> None:
            if "Content Security Policy" in message.text:
                problems.append(message.text)

        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("request", on_request)
        page.on("console", on_console)
        await page.goto(url)
        return page

    yield open_page
    for context in contexts:
        await context.close()
    assert problems == []


@pytest.fixture
def artifacts() -> Path:
    """Where pictures go that people look at."""
    ARTIFACTS.mkdir(exist_ok=True)
    return ARTIFACTS


@pytest.fixture
def accessible() -> Callable[[Page], Awaitable[None]]:
    """Fails where axe finds anything wrong with a page as it stands: for what only opens when it is used."""
    axe = (ROOT / "dashboard" / "node_modules" / "axe-core" / "axe.min.js").read_text(encoding="utf-8")

    async def check(page: Page) -> None:
        await page.evaluate(axe)
        found = await page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
        assert [(each["id"], each["nodes"][0]["html"][:150]) for each in found["violations"]] == []

    return check
