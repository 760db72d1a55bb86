"""The pytest plugin, in runs of pytest as another project starts them."""

from __future__ import annotations

import asyncio
import os
import re
import sys
import tomllib
from pathlib import Path

import httpx2
import pytest

from tickwire.errors import InputError
from tickwire.testing import RunningMarket

USE_OF_THE_MARKET = """
import threading

import pytest
import tickwire


def prices(market):
    return {symbol: (quote.last, quote.ts) for symbol, quote in market.client.read_quotes().items()}


@pytest.fixture(scope="session")
def seen():
    return []


@pytest.mark.parametrize("number", range(2))
def test_the_market_is_the_same_in_each_test(tickwire_market, seen, number):
    before = prices(tickwire_market)
    tickwire_market.advance(1)
    seen.append((before, prices(tickwire_market)))
    assert before != seen[-1][1]
    assert seen[0] == seen[-1]


def test_published_ticks(tickwire_market):
    assert tickwire_market.publish({"symbol": "ACME", "last": 12.5}, key="k").accepted == 1
    with tickwire_market.client.quotes("ACME") as quotes:
        assert quotes.next_item(timeout_s=60).last == 12.5


async def test_asynchronous_client(tickwire_market):
    async with tickwire.AsyncClient(tickwire_market.url) as client, client.board() as board:
        assert board["AAPL"].last > 0


@pytest.mark.tickwire_market(feed="http")
class TestOwnSettings:
    def test_settings_of_the_class(self, tickwire_market):
        assert prices(tickwire_market) == {}

    @pytest.mark.tickwire_market(real_time=True, max_board=1)
    def test_settings_of_the_test(self, tickwire_market):
        with pytest.raises(tickwire.InputError):
            tickwire_market.publish([{"symbol": "A", "last": 1}, {"symbol": "B", "last": 1}])
        with pytest.raises(RuntimeError, match="real time"):
            tickwire_market.advance(1)


def test_the_threads_of_earlier_tests_have_ended():
    assert "tickwire-client" not in {thread.name for thread in threading.enumerate()}
"""
NO_USE = """
import sys


def test_the_plugin_imports_nothing():
    assert "tickwire.pytest_plugin" in sys.modules
    assert [name for name in sys.modules if name.startswith("tickwire")] == ["tickwire", "tickwire.pytest_plugin"]
    assert not {"uvicorn", "fastapi", "numpy", "httpx2"} & {*sys.modules}
    # From Python 3.14 on, pytest itself imports asyncio, because it imports pdb.
    assert "asyncio" not in sys.modules or sys.version_info >= (3, 14)
"""
COMMAND = (sys.executable, "-m", "pytest", "-q", "--strict-markers", "-W", "error")
OTHER_PLUGINS = ("asyncio", "randomly", "timeout", "xdist", "schemathesis", "anyio", "hypothesispytest", "playwright")
WITHOUT_OTHERS = tuple(option for name in OTHER_PLUGINS for option in ("-p", f"no:{name}"))
ROOT = Path(__file__).parents[2]


async def run_pytest(folder: Path, code: str, *options: str) -> str:
    """Run the tests in `code`, and return the output of pytest. Fail if pytest fails.

    pytest finds the plugin by the entry points of an installed package.
    """
    (folder / "test_it.py").write_text(code)
    (folder / "pytest.ini").write_text("[pytest]\n")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    package = folder / "packages" / "installed-1.dist-info"
    package.mkdir(parents=True, exist_ok=True)
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: installed\nVersion: 1\n")
    entries = "\n".join(f"{name} = {module}" for name, module in project["entry-points"]["pytest11"].items())
    (package / "entry_points.txt").write_text(f"[pytest11]\n{entries}\n")
    process = await asyncio.create_subprocess_exec(
        *(*COMMAND, *options),
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(package.parent), *sys.path])},
    )
    output = (await process.communicate())[0].decode()
    assert process.returncode == 0, output
    return output


async def test_fixture_in_another_project(tmp_path: Path) -> None:
    options = ("-p", "no:randomly", "-p", "no:schemathesis", "-o", "asyncio_mode=auto")
    options += ("-o", "asyncio_default_fixture_loop_scope=function")
    assert "7 passed" in await run_pytest(tmp_path, USE_OF_THE_MARKET, *options)


async def test_runs_without_the_fixture_import_and_change_nothing(tmp_path: Path) -> None:
    with_plugin = await run_pytest(tmp_path, NO_USE, *WITHOUT_OTHERS)
    without = await run_pytest(tmp_path, "def test_nothing(): pass", *WITHOUT_OTHERS, "-p", "no:tickwire")
    assert re.sub(r"\d\.\d+s", "", with_plugin) == re.sub(r"\d\.\d+s", "", without)


async def test_tests_of_the_documentation_pass(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    tests = [code for code in blocks if "tickwire_market" in code]
    example = (ROOT / "examples" / "python" / "test_alarm.py").read_text(encoding="utf-8")
    assert "4 passed" in await run_pytest(tmp_path, "\n".join([example, *tests]), *WITHOUT_OTHERS)


def test_market_without_the_plugin() -> None:
    with RunningMarket(feed="http") as market:
        market.publish({"symbol": "A", "last": 1})
        assert httpx2.get(f"{market.url}/v1/quotes/A").json()["last"] == 1
    with pytest.raises(httpx2.TransportError):
        httpx2.get(market.url)


def test_market_that_cannot_start_raises_the_reason() -> None:
    with pytest.raises(InputError, match="loop"), RunningMarket(loop=True):
        pass
