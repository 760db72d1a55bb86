"""The JavaScript client: its own tests in Node, also against a real server, and the size of its files."""

from __future__ import annotations

import asyncio
import gzip
import os
import sys
from pathlib import Path

import pytest

from tickwire.testing.server import run_server
from tickwire.testing.tokens import TEST_SECRET, sign_token

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "clients" / "js"
BUILT = PACKAGE / "dist"
MAX_KILOBYTES = 8


async def run_script(name: str, **environment: str) -> str:
    """Run a script of the package, and return its output."""
    command = (sys.executable, str(ROOT / "dashboard" / "build.py"), "--folder", str(PACKAGE), name)
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, env=os.environ | environment
    )
    output = (await process.communicate())[0].decode()
    assert process.returncode == 0, output
    return output


async def test_javascript_client_passes_its_own_tests() -> None:
    """The tests use fake servers for failures, and a real server for the whole."""
    token = sign_token("admin messages")
    async with run_server(
        feed="simulator", seed=1, rate=20, heartbeat=1, auth="secret", auth_secret=TEST_SECRET
    ) as server:
        output = await run_script("test", TICKWIRE_URL=server.url, TICKWIRE_TOKEN=token)
    assert "# skipped 0" in output
    assert "# fail 0" in output


@pytest.mark.skipif(not BUILT.exists(), reason="not built: python dashboard/build.py --folder clients/js")
def test_files_of_the_javascript_client_are_small() -> None:
    """A page loads index.js. The code of the host is in the worker, or in a second file where workers are missing."""
    sizes = {path.name: len(gzip.compress(path.read_bytes())) for path in BUILT.rglob("*.js")}
    print(f"\n{sizes}")
    assert "index.js" in sizes
    assert max(sizes.values()) < MAX_KILOBYTES * 1000
    assert (BUILT / "types" / "index.d.ts").exists()
