"""The load test for Locust: one master and two workers against a real server."""

from __future__ import annotations

import asyncio
import contextlib
import csv
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tickwire.testing.ports import find_free_port
from tickwire.testing.server import ServerProcess

LOCUST = shutil.which("locust")
ROOT = Path(__file__).parents[2]


@contextlib.asynccontextmanager
async def running_locust(folder: Path, *options: str) -> AsyncIterator[asyncio.subprocess.Process]:
    assert LOCUST is not None
    command = (LOCUST, "-f", str(ROOT / "benchmarks" / "locustfile.py"), "--headless", *options)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with (folder / "locust.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(*command, cwd=folder, env=environment, stdout=log, stderr=log)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


@pytest.mark.skipif(LOCUST is None, reason="Locust is not installed: pip install locust")
async def test_a_master_and_two_workers_measure_a_server(tmp_path: Path) -> None:
    port = str(find_free_port())
    load = ("--users", "42", "--spawn-rate", "42", "--run-time", "8s", "--stop-timeout", "1")
    worker = ("--worker", "--master-port", port)
    async with (
        ServerProcess("--feed", "http", "--journal", "memory", cwd=tmp_path) as server,
        running_locust(
            tmp_path, "--master", "--master-bind-port", port, "--expect-workers", "2", "--host", server.url, *load,
            "--csv", str(tmp_path / "out"),
        ) as master,
        running_locust(tmp_path, *worker),
        running_locust(tmp_path, *worker),
    ):  # fmt: skip
        code = await master.wait()
    log = (tmp_path / "locust.log").read_text()
    assert code == 0, log
    with (tmp_path / "out_stats.csv").open() as file:
        rows = {row["Name"]: row for row in csv.DictReader(file)}
    # On a busy machine, the few requests may contain no retry.
    assert {"read", "import", "first event"} <= rows.keys(), log
    assert [name for name, row in rows.items() if row["Failure Count"] != "0"] == []
