"""A program that a server executes in its own process after SIGUSR2."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from pathlib import Path

from tickwire.cli.heartbeat import HeartbeatPipe
from tickwire.cli.supervision import PARENT_PID_VARIABLE

# The first program sends no heartbeats. The second program, which inherits a listening socket, does.
RESTART_ONCE = """
import asyncio, os, socket
from tickwire.cli.heartbeat import HeartbeatSender
from tickwire.cli.in_place_restart import InPlaceRestart
from tickwire.cli.supervision import exit_with_parent

heartbeats = HeartbeatSender.from_environment()
restart = InPlaceRestart(exit_with_parent(), heartbeats)
if "LISTEN_PID" in os.environ:
    asyncio.run(heartbeats.run())
else:
    restart.request(socket.create_server(("127.0.0.1", 0)))
    restart.execute_if_requested()
"""


async def test_the_new_program_sends_the_heartbeats_and_follows_the_parent() -> None:
    with contextlib.closing(HeartbeatPipe()) as pipe:
        environment = {**os.environ, **pipe.environment, PARENT_PID_VARIABLE: str(os.getpid())}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", RESTART_ONCE, env=environment, pass_fds=(pipe.write_fd,)
        )
        try:
            os.set_blocking(pipe.read_fd, True)
            assert await asyncio.to_thread(os.read, pipe.read_fd, 1) == b"."
            # This file contains the environment with which the process has executed the new program.
            variables = Path(f"/proc/{process.pid}/environ").read_bytes().split(b"\0")
            assert f"{PARENT_PID_VARIABLE}={os.getpid()}".encode() in variables
        finally:
            process.kill()
            await process.wait()
