"""The ready pipe between a server process and the process that started it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys

import pytest

from tickwire.cli.supervision import PARENT_PID_VARIABLE, READY_FD_VARIABLE, ReadyMessage, ReadyNotifier, ReadyPipe

NOTIFYING_CHILD = """
import os, subprocess, sys
from tickwire.cli.supervision import ReadyNotifier
ready = ReadyNotifier.from_environment()
show = "import os; print(os.environ.get('TICKWIRE_READY_FD'), len(os.listdir('/proc/self/fd')))"
print(subprocess.run([sys.executable, "-c", show], capture_output=True, text=True, close_fds=False).stdout.strip())
ready.notify("http://127.0.0.1:1", ["one", "two"])
"""


def start_child(pipe: ReadyPipe, source: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", source],
        env={**os.environ, **pipe.environment},
        pass_fds=(pipe.write_fd,),
        stdout=subprocess.PIPE,
        text=True,
    )
    pipe.close_write_end()
    return process


async def test_message_reaches_the_parent() -> None:
    with contextlib.closing(ReadyPipe()) as pipe:
        child = start_child(pipe, NOTIFYING_CHILD)
        message = await pipe.wait()
        child.communicate()
    assert message == ReadyMessage(child.pid, "http://127.0.0.1:1", ["one", "two"])


def test_message_reaches_a_parent_without_an_event_loop() -> None:
    with contextlib.closing(ReadyPipe()) as pipe:
        child = start_child(pipe, NOTIFYING_CHILD)
        message = pipe.wait_blocking(20)
        output, _ = child.communicate()
    assert message is not None
    assert message.pid == child.pid
    variable, descriptors = output.split()
    assert variable == "None"
    # The grandchild has open descriptors for standard input, output and error, and for the folder that it lists. It
    # does not inherit the pipe.
    assert int(descriptors) == 4


@pytest.mark.parametrize("source", ["raise SystemExit(3)", "import os; os._exit(3)"])
async def test_a_child_that_ends_before_it_serves_sends_no_message(source: str) -> None:
    with contextlib.closing(ReadyPipe()) as pipe, contextlib.closing(ReadyPipe()) as other:
        child, other_child = start_child(pipe, source), start_child(other, source)
        assert await pipe.wait() is None
        assert other.wait_blocking(20) is None
        for each in (child, other_child):
            each.communicate()
            assert each.returncode == 3


def test_a_child_that_neither_serves_nor_ends_times_out() -> None:
    with contextlib.closing(ReadyPipe()) as pipe, pytest.raises(TimeoutError, match=r"not ready after 0\.01 s"):
        pipe.wait_blocking(0.01)


async def test_a_cancelled_wait_closes_the_pipe() -> None:
    pipe = ReadyPipe()
    waiting = asyncio.create_task(pipe.wait())
    await asyncio.sleep(0.01)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    pipe.close()


def test_without_a_waiting_parent_notify_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(READY_FD_VARIABLE, raising=False)
    ReadyNotifier.from_environment().notify("http://127.0.0.1:1", [])
    # The variable contains the number of a descriptor that is not open, as after an exec that closed the descriptor.
    monkeypatch.setenv(READY_FD_VARIABLE, "987")
    ReadyNotifier.from_environment().notify("http://127.0.0.1:1", [])
    assert READY_FD_VARIABLE not in os.environ


def test_notify_survives_the_end_of_the_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    monkeypatch.setenv(READY_FD_VARIABLE, str(write_end))
    notifier = ReadyNotifier.from_environment()
    notifier.notify("http://127.0.0.1:1", [])
    notifier.notify("http://127.0.0.1:1", [])


def test_environment_names_the_parent() -> None:
    with contextlib.closing(ReadyPipe()) as pipe:
        assert pipe.environment[PARENT_PID_VARIABLE] == str(os.getpid())
