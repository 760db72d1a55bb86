"""Run headless browsers as plain processes, without a driver."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

BROWSERS = {
    "chromium": ("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--user-data-dir={profile}"),
    "firefox": ("firefox-esr", "--headless", "--no-remote", "--profile", "{profile}"),
}


@contextlib.asynccontextmanager
async def open_browser(name: str, url: str, folder: Path) -> AsyncIterator[None]:
    """Run a browser that shows the page at `url`, with a new profile in `folder`.

    Skip the test if the browser is not installed.
    """
    command = BROWSERS[name]
    program = shutil.which(command[0])
    if program is None:
        pytest.skip(f"{name} is not installed: apt-get install {command[0]}")
    profile = folder / "profile"
    profile.mkdir()
    arguments = [part.format(profile=profile) for part in command[1:]]
    with (folder / f"{name}.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(program, *arguments, url),
            stdout=log, stderr=log, start_new_session=True, env={**os.environ, "HOME": str(folder)},
        )  # fmt: skip
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
