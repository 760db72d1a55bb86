"""A program under measurement: on a core of its own, with its processor time and memory."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tickwire.cli.bench.machine import cores, pinned
from tickwire.cli.parent import PARENT
from tickwire.errors import ClientError

_PATIENCE = 20.0  # seconds for a server to listen
_POLL = 0.02
_TICKS = os.sysconf("SC_CLK_TCK")


def free_port() -> int:
    """A port nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


@contextlib.contextmanager
def running(
    command: Sequence[str], port: int, folder: Path, env: Mapping[str, str], *, ready: str = ""
) -> Iterator[Server]:
    """Start a server on the first core and wait until it listens, and has said `ready`; stopped when left."""
    log = folder / "server.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            on_core(0, command), stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=folder,
            env={**os.environ, **env, PARENT: str(os.getpid())}, start_new_session=True,
        )  # fmt: skip
    try:
        _await_port(process, port, log, ready)
        yield Server(process.pid)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, 9)
        process.wait()


def on_core(place: int, command: Sequence[str]) -> list[str]:
    """The command bound to one of our cores, where there are enough."""
    return ["taskset", "-c", str(cores()[place]), *command] if pinned() else [*command]


class Server:
    """Running processes and their children."""

    def __init__(self, *pids: int) -> None:
        self._pids = pids

    def __add__(self, other: Server) -> Server:
        return Server(*self._pids, *other._pids)

    def seconds(self) -> float:
        """Processor time so far."""
        return sum(self._times(pid) for pid in self._family())

    def memory(self) -> int:
        """Bytes resident that are its own (proportional set size)."""
        return sum(_pss(pid) for pid in self._family())

    def _family(self) -> list[int]:
        """The processes and everything below them: all that share their sessions."""
        found = []
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError, ValueError):
                if os.getsid(int(entry.name)) in self._pids:
                    found.append(int(entry.name))
        return found

    @staticmethod
    def _times(pid: int) -> float:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS


def queued(port: int) -> list[int]:
    """Bytes in the kernel for each connection of this port whose peer has not taken them all."""
    found = []
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/net/{table}").read_text(encoding="ascii").splitlines()[1:]:
                _, local, _, _, queues, *_ = line.split()
                if int(local.rpartition(":")[2], 16) == port:
                    found.append(int(queues.partition(":")[0], 16))
    return [size for size in found if size]


def _pss(pid: int) -> int:
    with contextlib.suppress(OSError, StopIteration):
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8").splitlines()
        return 1024 * int(next(line for line in lines if line.startswith("Pss:")).split()[1])
    return 0


def _await_port(process: subprocess.Popen[bytes], port: int, log: Path, ready: str) -> None:
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        if ready in log.read_text(errors="replace"):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                return
        time.sleep(_POLL)
    raise ClientError(f"it does not listen: {log.read_text(errors='replace')[-500:].strip() or 'no word from it'}")
