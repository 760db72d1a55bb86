"""The template process: a process that has imported Tickwire, and forks to run `tickwire` commands.

Most of the CPU time that a command needs to start is spent on imports. A forked process has them already.
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import os
import resource
import select
import signal
import socket
import sys

import msgspec

import tickwire.cli.serve  # noqa: F401  # tests start this command most often
from tickwire.cli.root import root
from tickwire.cli.socket_activation import FIRST_DESCRIPTOR
from tickwire.cli.supervision import PARENT_PID_VARIABLE, READY_FD_VARIABLE
from tickwire.core.codec import decode_json

_MAX_REQUEST_BYTES = 256 * 1024
_MAX_DESCRIPTORS = 4
# Received descriptors move to this number or above, because the standard streams and the listening socket have fixed
# numbers below it.
_MIN_DESCRIPTOR = 10


class CommandRequest(msgspec.Struct):
    """A message to the template process: run a command.

    The message carries descriptors in this order: the status socket, the log, the write end of the ready pipe and,
    optionally, a listening socket.
    """

    arguments: tuple[str, ...]
    cwd: str
    environment: dict[str, str]
    max_open_files: int | None


class _Template:
    """The template process: fork a process for each request, and report the process ids and the exit codes."""

    def __init__(self, requests: socket.socket) -> None:
        self._requests = requests
        self._statuses: dict[int, socket.socket] = {}
        self._wakeup, self._wakeup_writer = socket.socketpair()
        self._wakeup_writer.setblocking(False)

    def run(self) -> None:
        """Serve requests until the test process has closed its socket."""
        # Ctrl-C in a terminal also reaches this process. The test process decides when this process ends.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wakeup_writer.fileno())
        while True:
            readable, _, _ = select.select([self._requests, self._wakeup], [], [])
            if self._wakeup in readable:
                self._wakeup.recv(_MAX_REQUEST_BYTES)
                self._report_ended()
            if self._requests in readable:
                data, descriptors, _, _ = socket.recv_fds(self._requests, _MAX_REQUEST_BYTES, _MAX_DESCRIPTORS)
                if not data:
                    return
                self._fork(decode_json(data, CommandRequest), descriptors)

    def _fork(self, request: CommandRequest, descriptors: list[int]) -> None:
        pid = os.fork()
        if not pid:
            self._release()
            _run_command(request, descriptors[1:])
        status = socket.socket(fileno=descriptors[0])
        status.sendall(b"%d\n" % pid)
        self._statuses[pid] = status
        for descriptor in descriptors[1:]:
            os.close(descriptor)

    def _release(self) -> None:
        """Close the sockets of the template, and reset its signal handlers, in a forked process."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for each in (self._requests, self._wakeup, self._wakeup_writer, *self._statuses.values()):
            each.close()

    def _report_ended(self) -> None:
        while self._statuses:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            with self._statuses.pop(pid) as connection, contextlib.suppress(BrokenPipeError):
                connection.sendall(b"%d\n" % os.waitstatus_to_exitcode(status))


def _run_command(request: CommandRequest, descriptors: list[int]) -> None:
    """Run the command in this process, and exit."""
    log, ready, *listeners = (fcntl.fcntl(each, fcntl.F_DUPFD_CLOEXEC, _MIN_DESCRIPTOR) for each in descriptors)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    os.dup2(log, 2)
    os.environ.clear()
    os.environ |= {**request.environment, READY_FD_VARIABLE: str(ready), PARENT_PID_VARIABLE: str(os.getppid())}
    for listener in listeners:
        os.dup2(listener, FIRST_DESCRIPTOR)
        os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"}
    if request.max_open_files is not None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (request.max_open_files, request.max_open_files))
    os.chdir(request.cwd)
    # A restart in place executes the command in `orig_argv`.
    sys.orig_argv = [sys.executable, "-m", "tickwire", *request.arguments]
    root(request.arguments, prog_name="tickwire")


def run_template(descriptor: int) -> None:
    """Run the template process until the other end of the socket with this descriptor is closed."""
    # A collection in a forked process would otherwise visit all imported objects, and so copy their memory pages.
    gc.freeze()
    _Template(socket.socket(fileno=descriptor)).run()
