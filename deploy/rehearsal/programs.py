"""Run the programs that a rehearsal needs beside Tickwire."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Iterable
from pathlib import Path


def missing_programs(programs: Iterable[str]) -> list[str]:
    """Return the programs that are not on the PATH."""
    return [program for program in programs if shutil.which(program) is None]


@contextlib.asynccontextmanager
async def running(folder: Path, *command: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a program, which logs to `folder`. Terminate it when the block ends."""
    with (folder / f"{Path(command[0]).name}.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(*command, stdout=log, stderr=log)
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            await process.wait()
