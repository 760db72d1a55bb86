"""Run `tickwire` commands in tests, either in the test's own process or in a new process."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from click.testing import CliRunner

from tickwire.cli.root import root


class CommandResult(NamedTuple):
    """The exit code and the output of a `tickwire` command."""

    exit_code: int
    output: str
    errors: str


def invoke_command(*arguments: object, env: Mapping[str, str | None] | None = None) -> CommandResult:
    """Run `tickwire` in this process, with additional environment variables. The value None removes a variable.

    This function saves the two seconds that a new process takes to start. Do not call this function inside a running
    event loop. Do not run `tickwire serve` this way, unless the command fails before the server is ready.
    """
    result = CliRunner().invoke(root, [*map(str, arguments)], prog_name="tickwire", env=env, catch_exceptions=False)
    return CommandResult(result.exit_code, result.stdout, result.stderr)


async def invoke_command_in_thread(*arguments: object, env: Mapping[str, str | None] | None = None) -> CommandResult:
    """Run `invoke_command` in a thread, so that the event loop can answer the requests of the command."""
    return await asyncio.to_thread(invoke_command, *arguments, env=env)


async def run_command_process(
    *arguments: object,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: Path = Path(os.devnull),
) -> CommandResult:
    """Run `tickwire` in a new process, with additional environment variables. `stdin` is the file that it reads."""
    with stdin.open("rb") as input_file:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tickwire", *map(str, arguments)),
            cwd=cwd,
            stdin=input_file,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, **(env or {})},
        )
    output, errors = await process.communicate()
    return CommandResult(process.returncode or 0, output.decode(), errors.decode())
