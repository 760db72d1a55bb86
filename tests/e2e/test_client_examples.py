"""The examples for React, Vue and a plain page, built from the JavaScript client and loaded in a browser."""

from __future__ import annotations

import re
import sys
from asyncio.subprocess import PIPE, STDOUT, create_subprocess_exec
from functools import partial
from http.server import ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from playwright.async_api import expect
from tests.e2e.client_page import JS_CLIENT
from tests.e2e.test_example import Files

from tickwire.testing.server import run_server

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(
    not (JS_CLIENT / "index.js").exists(), reason="not built: python dashboard/build.py --folder clients/js"
)


async def test_examples_show_moving_prices(open_profile, tmp_path: Path) -> None:
    """All three pages are open at the same time, and share one stream."""
    command = (str(ROOT / "dashboard" / "build.py"), "--folder", str(ROOT / "clients" / "js"), "examples")
    build = await create_subprocess_exec(
        sys.executable, *command, "--", "--", "--outDir", str(tmp_path), stdout=PIPE, stderr=STDOUT
    )
    output, _ = await build.communicate()
    assert build.returncode == 0, output.decode()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Files, directory=str(tmp_path))) as files:
        Thread(target=files.serve_forever, daemon=True).start()
        site = f"http://127.0.0.1:{files.server_port}"
        async with run_server(feed="simulator", seed=1, rate=10, cors=site) as server:
            profile = await open_profile()
            for name in ("react", "vue", "page"):
                page = await profile.new_page()
                await page.goto(f"{site}/{name}/index.html?server={server.url}")
                rows = page.locator("#app li")
                await expect(rows).to_have_count(2)
                await expect(rows.filter(has_text="AAPL")).to_have_text(re.compile(r"AAPL: \d+"))
                before = await rows.all_inner_texts()
                await expect(rows.filter(has_text="AAPL")).not_to_have_text(before[0])
                clients = await page.evaluate(
                    "url => fetch(url).then((answer) => answer.json())", f"{server.url}/v1/clients"
                )
                assert len(clients) == 1
        files.shutdown()
