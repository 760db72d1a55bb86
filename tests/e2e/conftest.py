"""Fixtures of the browser tests: a browser, a shared market, and pages that report their own errors."""

from __future__ import annotations

import inspect
import shutil
import subprocess
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import partial
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import TypeAlias

import playwright
import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, Request, async_playwright, expect
from tests.e2e.client_page import JS_CLIENT, EmptyPage

from tickwire.testing.server import ServerProcess

ROOT = Path(__file__).parents[2]
BUILT = ROOT / "src" / "tickwire" / "server" / "pages" / "app"
ARTIFACTS = ROOT / "artifacts"
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

# Playwright contains its own Node, which starts the browser.
PLAYWRIGHT_NODE = Path(playwright.__file__).parent / "driver" / "node"

# Tests wait with expect(): wait_for_function uses eval in the page, which the Content-Security-Policy forbids. The
# limit is shorter than the timeout of a test, so that the traceback names the wait.
WAIT_MS = 90_000
expect.set_options(timeout=WAIT_MS)

# For the popups of the address bar, Chromium loads pages of its own in each profile. They take a third of the CPU time
# of these tests.
ADDRESS_BAR_FEATURES = ("WebUIOmniboxPopup", "WebUIOmniboxAimPopup")
# Playwright disables these features. Its list has no effect, because Chromium uses only the last list.
PLAYWRIGHT_FEATURES = (
    "AimEnabled",
    "AvoidCorsURLLoaderRestartOnRedirect",
    "AvoidUnnecessaryBeforeUnloadCheckSync",
    "DestroyProfileOnBrowserClose",
    "HttpsFirstBalancedModeAutoEnable",
    "HttpsUpgrades",
    "LensOverlay",
    "MediaRouter",
    "NetworkTimeServiceQuerying",
    "OptimizationHints",
    "PaintHolding",
    "ThirdPartyStoragePartitioning",
)
BROWSER_OPTIONS = (
    "--no-sandbox",
    f"--disable-features={','.join((*ADDRESS_BAR_FEATURES, *PLAYWRIGHT_FEATURES))}",
)

OpenProfile: TypeAlias = Callable[..., Awaitable[BrowserContext]]
Visit: TypeAlias = Callable[..., Awaitable[Page]]


def find_missing_requirement() -> str | None:
    """Return the requirement of the browser tests that this machine lacks. Return None if the tests can run."""
    if BROWSER is None:
        return "no Chromium on this machine: apt-get install chromium"
    if not (BUILT / "index.html").exists():
        return "the page is not built: python dashboard/build.py"
    node = subprocess.run([PLAYWRIGHT_NODE, "--version"], capture_output=True, text=True, check=False)
    if node.returncode != 0:
        # The bare images of Debian and Ubuntu lack this library.
        return f"Playwright cannot start its Node: apt-get install libatomic1 ({node.stderr.strip()})"
    return None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark all tests of this folder. They need a browser and a built page.

    They share one event loop, so that they share one browser.
    """
    missing = find_missing_requirement()
    for item in items:
        if Path(__file__).parent not in item.path.parents:
            continue
        item.add_marker(pytest.mark.browser)
        if inspect.iscoroutinefunction(getattr(item, "function", None)):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)
        if missing is not None:
            item.add_marker(pytest.mark.skip(reason=missing))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=BROWSER, args=BROWSER_OPTIONS)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def market(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ServerProcess]:
    """A simulated market. All tests of a module share the market, and do not change it.

    The market ends with the module, because a running market would slow down the tests of other folders.
    """
    folder = tmp_path_factory.mktemp("market")
    async with ServerProcess("--seed", "1", "--journal", "memory", cwd=folder) as server:
        yield server


@pytest_asyncio.fixture(loop_scope="session")
async def open_profile(browser: Browser) -> AsyncIterator[OpenProfile]:
    """Return a function that creates a browser profile with the given options of Playwright.

    The fixture closes the profiles.
    """
    profiles: list[BrowserContext] = []

    async def create(**options: object) -> BrowserContext:
        profile = await browser.new_context(**options)
        profiles.append(profile)
        profile.set_default_timeout(WAIT_MS)
        return profile

    yield create
    for profile in profiles:
        await profile.close()


@pytest_asyncio.fixture(loop_scope="session")
async def visit(open_profile: OpenProfile) -> AsyncIterator[Visit]:
    """Open a page at a URL, in a browser profile of its own.

    With `shared_worker=False`, the page holds its streams itself. The test can then move their clock, see their
    requests and cut their network, which Playwright cannot do in a SharedWorker.

    At the end the test fails if a page raised an error, violated its Content-Security-Policy or sent a request to
    another origin.
    """
    problems = []

    async def open_page(url: str, *, shared_worker: bool = True, **options: object) -> Page:
        profile = await open_profile(**{"viewport": {"width": 1280, "height": 800}, "locale": "en-US", **options})
        if not shared_worker:
            await profile.add_init_script("delete window.SharedWorker")
        page = await profile.new_page()
        origin = "/".join(url.split("/")[:3])

        def on_request(request: Request) -> None:
            if not request.url.startswith((origin, "data:", "blob:")):
                problems.append(f"request to another origin: {request.url}")

        def on_console(message: ConsoleMessage) -> None:
            if "Content Security Policy" in message.text:
                problems.append(message.text)

        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("request", on_request)
        page.on("console", on_console)
        await page.goto(url)
        return page

    yield open_page
    assert problems == []


@pytest.fixture
def artifacts() -> Path:
    """The folder for screenshots."""
    ARTIFACTS.mkdir(exist_ok=True)
    return ARTIFACTS


@pytest.fixture
def accessible() -> Callable[[Page], Awaitable[None]]:
    """Fail if axe finds a violation in the current state of a page.

    Use this for states that test_views.py does not open.
    """
    axe = (ROOT / "dashboard" / "node_modules" / "axe-core" / "axe.min.js").read_text(encoding="utf-8")

    async def check(page: Page) -> None:
        await page.evaluate(axe)
        result = await page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
        assert [(each["id"], each["nodes"][0]["html"][:150]) for each in result["violations"]] == []

    return check


@pytest.fixture
def client_site() -> Iterator[str]:
    """Serve an empty page and the built JavaScript client from another origin than the market's."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(EmptyPage, directory=str(JS_CLIENT))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
