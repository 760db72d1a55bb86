"""Servers that a template process forks: they behave as servers that Python starts."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path

import httpx2
import pytest

from tickwire.testing.server import ServerProcess
from tickwire.testing.waiting import wait_until

OPTIONS = ("--feed", "http", "--journal", "memory")
# Starts a server, prints its process id and waits.
PARENT = f"""
import asyncio, sys
from pathlib import Path
from tickwire.testing.server import ServerProcess

async def main():
    async with ServerProcess(*{OPTIONS}, cwd=Path(sys.argv[1])) as server:
        print(server.pid, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_failed_start_shows_the_log_and_the_exit_code(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"(?s)exit code 2 before it was ready: .*No such option '--sped'"):
        await ServerProcess("--sped", "2", cwd=tmp_path).start()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGKILL, -signal.SIGKILL)])
async def test_exit_codes(number: signal.Signals, code: int, tmp_path: Path) -> None:
    async with ServerProcess(*OPTIONS, cwd=tmp_path) as server:
        assert await server.stop(number) == code
        assert not Path(f"/proc/{server.pid}").exists()


async def test_two_servers_have_different_request_ids(tmp_path: Path) -> None:
    prefixes = []
    for name in ("first", "second"):
        log = tmp_path / name
        async with ServerProcess(*OPTIONS, cwd=tmp_path, log=log) as server, httpx2.AsyncClient() as client:
            await client.get(f"{server.url}/v1/quotes")
            await wait_until(lambda log=log: '"/v1/quotes"' in log.read_text())
        (line,) = [line for line in log.read_text().splitlines() if '"/v1/quotes"' in line]
        prefixes.append(json.loads(line[line.index("{") :])["id"].split("-")[0])
    assert prefixes[0] != prefixes[1]


async def test_a_server_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PARENT, str(tmp_path), stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    server = int(await parent.stdout.readline())
    parent.kill()
    await parent.wait()
    await wait_until(lambda: not Path(f"/proc/{server}").exists())
