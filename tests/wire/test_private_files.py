"""No other user may read the files of a server, with any umask, and with files of any earlier version of Tickwire."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tickwire.testing.server import run_server


@pytest.fixture(autouse=True)
def _open_umask() -> Iterator[None]:
    """Set a umask that makes new files readable for everybody, unless the server prevents this."""
    previous = os.umask(0)
    yield
    os.umask(previous)


async def fill_files(folder: Path) -> dict[str, int]:
    """Run a server that writes all its files. Return the mode of each file while the server runs."""
    async with (
        run_server(journal="", data=folder, audit_bytes=200, audit_files=3) as server,
        httpx2.AsyncClient(base_url=server.url) as client,
    ):
        for last in range(5):
            await client.post("/v1/quotes", json=[{"symbol": "A", "last": last + 1}])
        modes: dict[str, int] = {}
        # The audit log writes its lines after 20 ms, and may rename its files at any moment.
        while modes.get("audit.jsonl", 0o777) & 0o007:
            with contextlib.suppress(FileNotFoundError):
                modes = {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}
            await asyncio.sleep(0)
        return modes


async def test_no_other_user_may_read_a_file_of_the_server(tmp_path: Path) -> None:
    modes = await fill_files(tmp_path / "data")
    assert modes.keys() >= {
        "http.journal",
        "http.journal-wal",
        "http.journal-lock",
        "http.journal-candles",
        "audit.jsonl",
    }
    assert set(modes.values()) == {0o600}


async def test_files_of_an_older_version_become_private_and_keep_the_access_of_their_group(tmp_path: Path) -> None:
    await fill_files(tmp_path)
    for path in tmp_path.iterdir():
        path.chmod(0o644)
    modes = await fill_files(tmp_path)
    assert modes["http.journal"] == modes["http.journal-candles"] == 0o640
    # The modes of older audit files do not change until the log deletes the files.
    is_old_audit_file = re.compile(r"audit\.jsonl\.\d+").fullmatch
    assert [name for name, mode in modes.items() if mode & 0o007 and not is_old_audit_file(name)] == []
