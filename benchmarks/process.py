"""Run a program on one core, and measure its CPU time and memory."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks.machine import available_cores, can_pin_cores
from tickwire.cli.supervision import ReadyPipe
from tickwire.errors import ClientError

_START_TIMEOUT_S = 20.0
_POLL_INTERVAL_S = 0.02
_CLOCK_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def run_program(
    command: Sequence[str], port: int, folder: Path, env: Mapping[str, str], *, reports_ready: bool = False
) -> Iterator[ProcessGroup]:
    """Start a server on the first core, wait until it is ready, and kill it when the block ends.

    With `reports_ready`, the server writes a line to the pipe of TICKWIRE_READY_FD when it is ready, as Tickwire does.
    Any other server is ready when it accepts connections on `port`. Raise ClientError if it is not ready in time.
    """
    log = folder / "server.log"
    with contextlib.closing(ReadyPipe()) as pipe:
        with log.open("wb") as output:
            process = subprocess.Popen(
                pin_to_core(0, command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=folder,
                env={**os.environ, **env, **pipe.environment},
                pass_fds=(pipe.write_fd,),
                start_new_session=True,
            )
        pipe.close_write_end()
        try:
            ready = _wait_for_message(pipe) if reports_ready else _wait_until_listening(process, port)
            if not ready:
                text = log.read_text(errors="replace")[-500:].strip()
                raise ClientError(f"the server is not ready: {text or 'its log is empty'}")
            yield ProcessGroup(process.pid)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, 9)
            process.wait()


def pin_to_core(index: int, command: Sequence[str]) -> list[str]:
    """Return a command that runs `command` on one of the available cores.

    If only one core is available, return the command unchanged.
    """
    return ["taskset", "-c", str(available_cores()[index]), *command] if can_pin_cores() else [*command]


class ProcessGroup:
    """Running processes and all their descendants."""

    def __init__(self, *pids: int) -> None:
        self._pids = pids

    def __add__(self, other: ProcessGroup) -> ProcessGroup:
        return ProcessGroup(*self._pids, *other._pids)

    def cpu_seconds(self) -> float:
        """The CPU time since the start, in seconds."""
        return sum(_cpu_seconds_of(pid) for pid in self._session_pids())

    def memory_bytes(self) -> int:
        """The resident memory in bytes. Each process counts its proportion of shared pages (proportional set size)."""
        return sum(_pss_bytes(pid) for pid in self._session_pids())

    def count_files_and_threads(self) -> tuple[int, int]:
        """Return the number of open files and of threads."""
        folders = [Path("/proc") / str(pid) for pid in self._session_pids()]
        counts = [[sum(1 for _ in (folder / name).iterdir()) for name in ("fd", "task")] for folder in folders]
        return sum(count[0] for count in counts), sum(count[1] for count in counts)

    def _session_pids(self) -> list[int]:
        """Return the ids of all processes whose session leader is in the group."""
        pids = []
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError, ValueError):
                if os.getsid(int(entry.name)) in self._pids:
                    pids.append(int(entry.name))
        return pids


def unsent_bytes(port: int) -> list[int]:
    """Return the sizes, in bytes, of all kernel send queues on this port. Omit the empty queues."""
    queue_sizes = []
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/net/{table}").read_text(encoding="ascii").splitlines()[1:]:
                _, local, _, _, queues, *_ = line.split()
                if int(local.rpartition(":")[2], 16) == port:
                    queue_sizes.append(int(queues.partition(":")[0], 16))
    return [size for size in queue_sizes if size]


def _cpu_seconds_of(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _CLOCK_TICKS_PER_S


def _pss_bytes(pid: int) -> int:
    with contextlib.suppress(OSError, StopIteration):
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8").splitlines()
        return 1024 * int(next(line for line in lines if line.startswith("Pss:")).split()[1])
    return 0


def _wait_for_message(pipe: ReadyPipe) -> bool:
    with contextlib.suppress(TimeoutError):
        return pipe.wait_blocking(_START_TIMEOUT_S) is not None
    return False


def _wait_until_listening(process: subprocess.Popen[bytes], port: int) -> bool:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return True
        time.sleep(_POLL_INTERVAL_S)
    return False
