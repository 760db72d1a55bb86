"""The commands of README.md and docs/, and the programs of docs/recipes.md, run as written, except for the port."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import os
import re
import shlex
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
import uvicorn

from tickwire.testing.ports import find_free_port
from tickwire.testing.server import run_server
from tickwire.testing.waiting import wait_until

ROOT = Path(__file__).parents[2]
README, RECIPES, PERFORMANCE, PYTHON = (
    (ROOT / name).read_text(encoding="utf-8")
    for name in ("README.md", "docs/recipes.md", "docs/performance.md", "docs/python.md")
)
# The names of rows that differ between the performance page and the benchmark in more than capital letters.
PERFORMANCE_ROWS = {"**Tickwire**, SQLite": "**tickwire-sqlite**", "Node.js": "node"}
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MAX_README_LINES = 150
LAST_LINE_OF_FIRST_PRICES = 30
PAGES = [
    page
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
    if "```sh" in page.read_text(encoding="utf-8")
]
# These commands install something, take ten minutes or longer, or need files, hosts and credentials of the reader.
# `make run` runs `tickwire serve`.
NOT_HERE = re.compile(
    r"git clone|cd |\. \.venv/bin/activate|make |pip install|pipx |python -m build|umask|sqlite3 |--map |"
    r"tickwire calibrate|.*python -m benchmarks|.*(stream|ticks)\.example\.org|.*--tls-cert|"
    r"docker |kubectl |gunicorn |kill -HUP PID|tickwire record ticks\.parquet|TICKWIRE_FEED_KEY=\.\.\. "
)
ENDLESS = re.compile(r"curl -NG? |tickwire watch")
FAILURE = re.compile(r"[Ee]rror|Traceback|tickwire: |\"status\":[45]\d\d")
TICKS = "time,symbol,price\n2026-01-02T15:00:00Z,AAPL,187.25\n2026-01-02T15:00:01Z,MSFT,480.1\n"


def blocks(text: str, language: str) -> list[str]:
    return [code for found, code in BLOCK.findall(text) if found == language]


def shell_commands(text: str) -> list[str]:
    """Return the shell commands of a page without comments."""
    lines = "".join(blocks(text, "sh")).splitlines()
    return [line.partition("   #")[0].partition("  #")[0].strip() for line in lines if line.strip()]


@contextlib.asynccontextmanager
async def run_process(folder: Path, port: int, *command: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a command that finds `tickwire`, in its own process group, until the block ends."""
    (folder / "bin").mkdir(exist_ok=True)
    program = folder / "bin" / "tickwire"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m tickwire "$@"\n')
    program.chmod(0o755)
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
        env={**os.environ, "PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "TICKWIRE_PORT": str(port)},
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, 9)
        await process.communicate()


async def is_serving(port: int, process: asyncio.subprocess.Process) -> bool:
    assert process.returncode is None, await process.communicate()
    with contextlib.suppress(httpx2.TransportError):
        async with httpx2.AsyncClient() as client:
            return (await client.get(f"http://127.0.0.1:{port}/healthz")).is_success
    return False


class PageRun:
    """Runs the commands of one page in a folder.

    A server runs until the page starts the next server. Any other command runs until its end or its first line of
    output. A recorder runs until it has written something.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = find_free_port()
        self._exports: list[str] = []
        self._servers = contextlib.AsyncExitStack()

    async def __aenter__(self) -> PageRun:
        await self.run("tickwire serve")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._servers.aclose()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    async def run(self, command: str) -> None:
        """Run one command. Fail if it reports an error."""
        assignment = re.match(r"(?:export )?(\w+)=\$\(", command)
        if assignment:
            # Evaluate the command once, because it may create a secret.
            async with self._start(f'{command}; printf %s "${assignment[1]}"') as process:
                value = (await process.communicate())[0].decode()
            self._exports.append(f"export {assignment[1]}={shlex.quote(value)}")
        elif command.startswith("tickwire serve"):
            await self._serve(command)
        elif command.startswith("tickwire record"):
            await self._record(command)
        else:
            await self._run_client(command)

    def _script(self, command: str) -> str:
        on_port = command.replace("127.0.0.1:8000", f"127.0.0.1:{self._port}")
        return "; ".join([*self._exports, f"export TICKWIRE_URL=http://127.0.0.1:{self._port}", on_port])

    async def _serve(self, command: str) -> None:
        await self._servers.aclose()
        process = await self._servers.enter_async_context(self._start(command))
        await wait_until(lambda: is_serving(self._port, process), poll_interval_s=0.05)
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{self._port}") as client:
            # The filters of the pages match this quote. A server that requires tokens rejects it.
            await client.post("/v1/quotes", json=[{"symbol": "BIG", "last": 5, "size": 2_000_000}])

    async def _run_client(self, command: str) -> None:
        async with self._start(command) as process:
            assert process.stdout is not None
            text = (await process.stdout.readline()).decode()
            if ENDLESS.match(command):
                assert text.strip(), command
            else:
                text += (await process.stdout.read()).decode()
                assert await process.wait() == 0, f"{command}: {text}"
        assert not FAILURE.search(text), f"{command}: {text}"
        if "tickwire publish" in command:
            assert "published to http://127.0.0.1" in text

    async def _record(self, command: str) -> None:
        target = self._folder / command.split()[2]
        target.unlink(missing_ok=True)
        async with self._start(command) as process:
            assert process.stdout is not None
            part = target.with_name(target.name + ".part")
            await wait_until(lambda: target.exists() or (part.exists() and part.read_text().count("\n") > 1))
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGINT)
            text = (await process.stdout.read()).decode()
        assert target.exists(), f"{command}: {text}"

    def _start(self, command: str) -> contextlib.AbstractAsyncContextManager[asyncio.subprocess.Process]:
        return run_process(self._folder, self._port, "sh", "-c", self._script(command))


def write_files(folder: Path) -> None:
    """Write the files that the commands of the pages name."""
    (folder / "examples").symlink_to(ROOT / "examples")
    for name in ("ticks.csv", "AAPL.csv"):
        (folder / name).write_text(TICKS)
    (folder / "ticks.ndjson").write_text('{"symbol":"AAPL","last":187.25}\n')
    for name in ("ticks.csv.gz", "MSFT.csv.gz"):
        (folder / name).write_bytes(gzip.compress(TICKS.encode()))
    bars = "".join(f"2026-01-02T15:0{minute}:00Z,1,2,1,2\n" for minute in range(3))
    (folder / "bars.csv").write_text(f"time,open,high,low,close\n{bars}")
    (folder / "days").mkdir()
    duckdb = pytest.importorskip("duckdb")
    ticks = duckdb.read_csv(str(folder / "ticks.csv"))
    ticks.write_parquet(str(folder / "days" / "2026-01-02.parquet"))
    settings = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    (folder / "tickwire.toml").write_text(blocks(settings, "toml")[0])
    for name in ("new.json", "model.json"):
        (folder / name).write_bytes((ROOT / "examples" / "models" / "us-session.json").read_bytes())


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
async def test_commands_of_a_page_run_as_written(page: Path, tmp_path: Path) -> None:
    commands = [command for command in shell_commands(page.read_text(encoding="utf-8")) if not NOT_HERE.match(command)]
    write_files(tmp_path)
    async with PageRun(tmp_path) as run:
        url = f"{run.url}/v1/stream?client_id=my-page"
        async with httpx2.AsyncClient(timeout=None) as client, client.stream("GET", url):
            for command in commands:
                await run.run(command)


async def test_programs_of_the_readme_and_the_recipes_run_as_written(tmp_path: Path) -> None:
    """A program with an end prints its result. A program without an end prints prices."""
    programs = blocks(README, "python") + [code for code in blocks(RECIPES, "python") if "8000" in code]
    quotes = [{"symbol": symbol, "last": 1} for symbol in ("AAPL", "MSFT")]
    async with run_server() as server, httpx2.AsyncClient(base_url=server.url) as client:
        assert (await client.post("/v1/quotes", json=quotes)).is_success
        port = server.url.rpartition(":")[2]
        for code in programs:
            if "import pandas" in code:
                try:
                    import pandas  # noqa: F401
                except ImportError:
                    continue
            source = code.replace("127.0.0.1:8000", f"127.0.0.1:{port}")
            async with run_process(tmp_path, 0, sys.executable, "-u", "-W", "error", "-c", source) as process:
                assert process.stdout is not None
                text = (await process.stdout.readline()).decode()
                assert re.search("AAPL|Receipt|last", text), text + (await process.stdout.read()).decode()


async def test_programs_of_the_python_page_run_as_written(capsys: pytest.CaptureFixture[str]) -> None:
    """The programs run in threads of this process, which is faster than a process for each program."""
    programs = [code for code in blocks(PYTHON, "python") if "8000" in code]
    assert len(programs) > 8
    async with run_server(feed="simulator", seed=1) as server:
        for code in programs:
            await asyncio.to_thread(exec, code.replace("http://127.0.0.1:8000", server.url), {"__name__": "program"})
            assert capsys.readouterr().out.strip(), code


async def test_the_fastapi_recipe_serves_the_market() -> None:
    (code,) = [code for code in blocks(RECIPES, "python") if "FastAPI" in code]
    names: dict[str, object] = {}
    exec(code, names)
    server = uvicorn.Server(uvicorn.Config(names["app"], port=0, log_config=None, ws="none"))
    server.capture_signals = contextlib.nullcontext
    task = asyncio.create_task(server.serve())
    await wait_until(lambda: server.started)
    port = server.servers[0].sockets[0].getsockname()[1]
    async with httpx2.AsyncClient() as client:
        assert (await client.get(f"http://127.0.0.1:{port}/market/v1/quotes")).json() == []
    server.should_exit = True
    await task


def test_readme_is_short_and_shows_prices_early() -> None:
    lines = README.splitlines()
    assert len(lines) <= MAX_README_LINES
    assert next(number for number, line in enumerate(lines, 1) if "/v1/stream?" in line) <= LAST_LINE_OF_FIRST_PRICES


def test_figures_of_the_comparison_are_those_of_the_performance_page() -> None:
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in README.partition("## Comparison")[2].partition("\n## ")[0].splitlines()
        if line.startswith("|")
    ][2:]
    assert len(rows) > 3
    for name, *figures in rows:
        row = PERFORMANCE_ROWS.get(name, name.lower())
        measured = [line for line in PERFORMANCE.splitlines() if line.startswith(f"| {row} |")]
        cells = {cell.strip() for line in measured for cell in line.split("|")}
        assert set(figures) <= cells, name


@pytest.mark.parametrize("page", ["README.md", "docs/python.md", "docs/recipes.md"])
def test_python_blocks_compile(page: str) -> None:
    for code in blocks((ROOT / page).read_text(encoding="utf-8"), "python"):
        compile(code, page, "exec")
