"""The JavaScript client: its own tests in Node, also against a real server, and the size of its files."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import shutil
import sys
import tarfile
from pathlib import Path

import pytest

from tickwire.testing.server import run_server
from tickwire.testing.tokens import TEST_SECRET, sign_token

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "clients" / "js"
BUILT = PACKAGE / "dist"
MAX_KILOBYTES = 8
TYPED_PROGRAM = """
import { type ClientStatus, type Quote, TickwireClient } from "@tickwire/client";
import "@tickwire/client/elements";

const client = new TickwireClient({ symbols: ["A"], fields: ["last"] });
client.on("quote", ({ last }: Quote) => last?.toFixed(2));
client.on("candle", ({ interval, closed }) => interval.length + Number(closed));
// @ts-expect-error: the event has no price
client.on("bye", ({ last }) => last);
export const status: ClientStatus = client.status();
"""
PROGRAM = """
import { TickwireClient } from "@tickwire/client";

const client = new TickwireClient({ server: process.argv[2], symbols: ["AAPL"] });
client.on("quote", ({ symbol }) => {
  console.log(symbol);
  client.close();
});
"""
needs_build = pytest.mark.skipif(not BUILT.exists(), reason="not built: python dashboard/build.py --folder clients/js")


async def run(*command: object, cwd: Path | None = None, **environment: str) -> str:
    """Run a program, and return its output."""
    process = await asyncio.create_subprocess_exec(
        *map(str, command),
        cwd=cwd,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=os.environ | environment,
    )
    output = (await process.communicate())[0].decode()
    assert process.returncode == 0, output
    return output


async def run_script(name: str, **environment: str) -> str:
    """Run a script of the package, and return its output."""
    return await run(sys.executable, ROOT / "dashboard" / "build.py", "--folder", PACKAGE, name, **environment)


async def test_javascript_client_passes_its_own_tests() -> None:
    """The tests use fake servers for failures, and a real server for the whole."""
    token = sign_token("admin messages")
    async with run_server(
        feed="simulator", seed=1, rate=20, heartbeat=1, auth="secret", auth_secret=TEST_SECRET
    ) as server:
        output = await run_script("test", TICKWIRE_URL=server.url, TICKWIRE_TOKEN=token)
    assert "# skipped 0" in output
    assert "# fail 0" in output


@needs_build
async def test_another_project_uses_the_packed_package(tmp_path: Path) -> None:
    """npm packs the built files, which contain the only dependency, the types and the license."""
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    await run("npm", "pack", "--ignore-scripts", "--pack-destination", tmp_path, cwd=PACKAGE)
    installed = tmp_path / "node_modules" / "@tickwire" / "client"
    installed.parent.mkdir(parents=True)
    with tarfile.open(next(tmp_path.glob("*.tgz"))) as archive:
        archive.extractall(tmp_path, filter="data")
    (tmp_path / "package").rename(installed)
    manifest = json.loads((installed / "package.json").read_text())
    assert [*manifest["dependencies"]] == ["eventsource-parser"]
    assert {path.name for path in installed.iterdir()} == {"LICENSE", "README.md", "dist", "package.json"}
    assert {path.suffix for path in (installed / "dist").rglob("*.*")} == {".js", ".ts"}
    assert (installed / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()

    (tmp_path / "typed.mts").write_text(TYPED_PROGRAM)
    options = ("--noEmit", "--strict", "--module", "nodenext", "--lib", "es2023,dom,dom.iterable", "--types", "")
    await run(PACKAGE / "node_modules" / ".bin" / "tsc", *options, "typed.mts", cwd=tmp_path)
    (tmp_path / "program.mjs").write_text(PROGRAM)
    async with run_server(feed="simulator", seed=1, rate=20) as server:
        assert await run("node", "program.mjs", server.url, cwd=tmp_path) == "AAPL\n"


@needs_build
def test_files_of_the_javascript_client_are_small() -> None:
    """A page loads index.js. The code of the host is in the worker, or in a second file where workers are missing."""
    sizes = {path.name: len(gzip.compress(path.read_bytes())) for path in BUILT.rglob("*.js")}
    print(f"\n{sizes}")
    assert "index.js" in sizes
    assert max(sizes.values()) < MAX_KILOBYTES * 1000
    assert (BUILT / "types" / "index.d.ts").exists()
