"""NATS servers for tests and demonstrations: one, or a cluster, in processes that can be killed, paused and cut off."""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

from tickwire.cli.bench.process import free_port
from tickwire.journal.nats.program import find_server

_PATIENCE = 10.0
_POLL = 0.01


def _dying_with_us() -> list[str]:
    """What makes a program end with this process even where that is killed, if this machine has it (Linux)."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL"] if setpriv else []


class NatsServer:
    """`nats-server` with JetStream, its store in `folder`. The same port and store at each start."""

    def __init__(self, folder: Path, *options: str, name: str = "n1", jetstream: bool = True) -> None:
        self.port = free_port()
        self.folder = folder
        self.name = name
        self._options = options
        self._jetstream = jetstream
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"nats://127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        """What it said."""
        return self.folder / f"{self.name}.log"

    def start(self) -> NatsServer:
        """Start, and return once it listens."""
        program = find_server()
        if program is None:
            raise RuntimeError("there is no nats-server on this machine")
        command = [
            *_dying_with_us(),
            program,
            "-a",
            "127.0.0.1",
            "-p",
            str(self.port),
            "-n",
            self.name,
            "-l",
            str(self.log),
        ]
        if self._jetstream:
            command += ["-js", "-sd", str(self.folder / self.name)]
        self.folder.mkdir(parents=True, exist_ok=True)
        self._process = subprocess.Popen(  # noqa: S603  # a program of the machine's own
            [*command, *self._options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self._await_port()
        return self

    def signal(self, number: int) -> None:
        """Send a signal: SIGSTOP cuts it off from the others, SIGCONT heals that."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    def kill(self) -> None:
        """End it as `kill -9` does."""
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait()

    def _await_port(self) -> None:
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline:
            if self._process is not None and self._process.poll() is not None:
                break
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            time.sleep(_POLL)
        raise RuntimeError(f"nats-server does not listen: {self.log.read_text(errors='replace')[-500:]}")

    def __enter__(self) -> NatsServer:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.kill()


class NatsCluster:
    """Three servers (or `size`) that keep every stream among them."""

    def __init__(self, folder: Path, size: int = 3) -> None:
        routes = [free_port() for _ in range(size)]
        others = ",".join(f"nats://127.0.0.1:{port}" for port in routes)
        self.nodes = [
            NatsServer(
                folder,
                *("--cluster_name", "tickwire", "--cluster", f"nats://127.0.0.1:{port}", "--routes", others),
                name=f"n{number + 1}",
            )
            for number, port in enumerate(routes)
        ]

    @property
    def url(self) -> str:
        """Where clients connect: any of them."""
        return "nats://" + ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)

    def node(self, name: str) -> NatsServer:
        """The server of a name, such as a stream's leader."""
        return next(node for node in self.nodes if node.name == name)

    def __enter__(self) -> NatsCluster:
        for node in self.nodes:
            node.start()
        return self

    def __exit__(self, *_: object) -> None:
        for node in self.nodes:
            node.kill()
