"""The timeout of a test ends the test even if its event loop catches the first exception of the timeout."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

HANGING_TEST = """
import asyncio, signal

import tests.conftest

tests.conftest._TIMEOUT_REPEAT_S = 1.0

async def test_hang():
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda loop, context: None)
    # The signal of the timeout arrives while this callback waits.
    loop.call_soon(signal.pause)
    await asyncio.Event().wait()
"""


def test_timeout_is_repeated_until_the_test_fails(tmp_path: Path) -> None:
    path = tmp_path / "test_hang.py"
    path.write_text(HANGING_TEST)
    options = ("-p", "tests.conftest", "-p", "no:randomly", "-c", ROOT / "pyproject.toml", "-o", "timeout=3")
    pytest = subprocess.run(
        [sys.executable, "-m", "pytest", *options, path], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert "1 failed" in pytest.stdout, pytest.stdout + pytest.stderr
