"""The programs in examples/python run as their first lines say."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2

import tickwire
from tickwire.testing import run_server, wait_until
from tickwire.testing.ports import find_free_port

EXAMPLES = Path(__file__).parents[2] / "examples" / "python"
README = EXAMPLES.parent / "README.md"
MAX_EXAMPLE_LINES = 60


@contextlib.asynccontextmanager
async def running(*command: object, cwd: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a Python program until the block ends. Each warning is an error."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", *map(str, command)),
        cwd=cwd,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


async def run(name: str, *arguments: object, cwd: Path) -> list[str]:
    """Run an example to its end, and return the lines of its output."""
    async with running(EXAMPLES / name, *arguments, cwd=cwd) as process:
        output = (await process.communicate())[0].decode()
        assert process.returncode == 0, output
        return output.splitlines()


def test_readme_lists_each_example_with_its_command() -> None:
    """The examples are small. The other tests of this module, of the pytest plugin and of the pages run them."""
    rows = re.findall(r"^\| \[.+?\]\((\S+)\) \| .+ \| (.+) \|$", README.read_text(), re.MULTILINE)
    programs = {EXAMPLES.parent / path: command for path, command in rows if path.startswith("python/")}
    assert programs.keys() == {*EXAMPLES.glob("*.py")}
    for program, command in programs.items():
        assert program.name in command or f" {program.stem}:app" in command
    pages = [EXAMPLES.parent / path for path, address in rows if "127.0.0.1:8080" in address]
    assert [page.parent.name for page in pages] == ["page", "react", "vue"]
    for example in (*programs, *pages):
        assert len(example.read_text().splitlines()) <= MAX_EXAMPLE_LINES, example


async def test_examples_with_a_server(tmp_path: Path) -> None:
    """The examples run at the same time, to save time."""
    async with run_server() as server, tickwire.AsyncClient(server.url) as client:
        examples = [
            asyncio.create_task(run("quick_start.py", server.url, cwd=tmp_path)),
            asyncio.create_task(run("screen_alert.py", server.url, "last > 100", 1, cwd=tmp_path)),
        ]

        async def publish_until_the_end() -> None:
            number = 0
            while not all(example.done() for example in examples):
                number += 1
                await client.publish([{"symbol": "AAPL", "last": number}, {"symbol": "MSFT", "last": 101}])
                await asyncio.sleep(0.01)

        publishing = asyncio.create_task(publish_until_the_end())
        quotes, alerts = await asyncio.gather(*examples)
        await publishing
        assert (len(quotes), quotes[0].split()[0] in ("AAPL", "MSFT")) == (10, True)
        assert alerts[0] == "waiting for symbols that match: last > 100"
        assert alerts[1].startswith(("MSFT at 101", "AAPL at "))
        assert await run("publish.py", server.url, cwd=tmp_path) == [
            "2 ticks, stored before: False",
            "2 ticks, stored before: True",
            "ACME 12.5",
        ]


async def test_examples_that_start_their_own_server(tmp_path: Path) -> None:
    replay, cluster = await asyncio.gather(run("replay.py", cwd=tmp_path), run("cluster.py", cwd=tmp_path))
    assert [line for line in replay if line.startswith("tick ")] == ["tick 12.5", "tick 12.7", "tick 12.6", "tick 12.9"]
    assert next(line for line in replay if line.startswith("candle ")) == "candle 12.5 12.7 12.5 12.7 300"
    # The workers write their logs to the same pipe, so a log line may follow in the same line.
    assert re.search(r"8 readers received 12\.5(?!,)", "\n".join(cluster))


async def test_fastapi_example(tmp_path: Path) -> None:
    port = find_free_port()
    command = ("-m", "uvicorn", "fastapi_app:app", "--app-dir", EXAMPLES, "--port", port)
    async with running(*command, cwd=tmp_path) as process, httpx2.AsyncClient() as client:

        async def answers() -> bool:
            assert process.returncode is None, await process.communicate()
            with contextlib.suppress(httpx2.TransportError):
                return (await client.get(f"http://127.0.0.1:{port}/market/readyz")).is_success
            return False

        await wait_until(answers, poll_interval_s=0.05)
        assert (await client.get(f"http://127.0.0.1:{port}/price/AAPL")).json()["last"] > 0
        assert (await client.get(f"http://127.0.0.1:{port}/price/ZZZZ")).status_code == 404
