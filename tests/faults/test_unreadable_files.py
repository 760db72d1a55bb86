"""Every command that reads or writes a file reports a missing permission as one line with the name of the file."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from pathlib import Path

import pytest

from tickwire.testing.command_line import CommandResult

# The commands run in the folder of the test. `closed` is a folder, and the other names are files, without permissions.
COMMANDS = [
    "serve --feed replay:closed",
    "serve --feed replay:closed/ticks.csv",
    "serve --feed replay:secret.csv",
    "serve --data closed",
    "serve --data closed/data",
    "serve --journal sqlite:closed/journal",
    "serve --journal sqlite:secret.csv",
    "serve --config secret.csv",
    "serve --config closed/tickwire.toml",
    "serve --journal memory --model secret.csv",
    "serve --journal memory --scenario secret.csv",
    "serve --journal memory --audit closed/audit.jsonl",
    "serve --journal memory --auth key --auth-key-file secret.csv",
    "serve --journal nats://127.0.0.1 --nats-creds secret.csv",
    "serve --journal tls://127.0.0.1 --nats-ca secret.csv",
    "publish secret.csv",
    "publish closed/ticks.csv",
    "record closed/ticks.csv",
    "calibrate secret.csv",
    "calibrate closed/ticks.csv",
    "simulator model secret.csv",
    "simulator scenario closed/scenario.toml",
    "token mint --key-file secret.csv --user ann",
]
# Runs all commands in one process, because a process takes a few seconds to start.
RUN_ALL = """
import json, sys
from tickwire.testing.command_line import invoke_command
print("results", json.dumps([invoke_command(*command.split()) for command in json.loads(sys.argv[1])]))
"""


def unprivileged_command() -> list[str]:
    """Return a command prefix that removes root's right to ignore the permissions of files."""
    if os.geteuid() != 0:
        return []
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        pytest.skip("root ignores permissions, and the program setpriv is not installed")
    return [setpriv, "--bounding-set", "-dac_override,-dac_read_search"]


async def test_a_missing_permission_is_one_line_that_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "secret.csv").write_text("time,symbol,price\n")
    (tmp_path / "secret.csv").chmod(0)
    (tmp_path / "closed").mkdir(mode=0)
    process = await asyncio.create_subprocess_exec(
        *(*unprivileged_command(), sys.executable, "-c", RUN_ALL, json.dumps(COMMANDS)),
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    (tmp_path / "closed").chmod(0o700)
    text = output.decode().partition("results ")[2]
    assert text, errors.decode()
    results = [CommandResult(*fields) for fields in json.loads(text)]
    wrong = [
        f"{command}: {result}"
        for command, result in zip(COMMANDS, results, strict=True)
        if result.exit_code not in (1, 2)
        or not (result.errors.count("\n") == 1 or result.errors.startswith("Usage:"))
        or not any(words in result.errors for words in ("denied", "not readable", "not writable"))
        or not ("closed" in result.errors or "secret.csv" in result.errors)
        or "move" in result.errors
    ]
    assert not wrong, "\n".join(wrong)
