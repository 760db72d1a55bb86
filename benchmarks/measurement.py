"""Run one measurement: start a server and the load generator, and collect the figures of both."""

from __future__ import annotations

import contextlib
import json
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.peer_servers import Peer, PeerUnavailable, compile_load_generator
from benchmarks.process import ProcessGroup, pin_to_core, run_program, unsent_bytes
from tickwire.errors import ClientError
from tickwire.testing.ports import find_free_port


def measure_peer(peer: Peer, *, readers: int, seconds: float, **work: object) -> dict[str, Any]:
    """Start `peer`, connect `readers` readers, and run the load for `seconds`.

    Return a row of figures. `cpu_us` is the CPU time of the server per delivery, and `connect_us` is its CPU time per
    connection. Both times are in microseconds. A row without figures contains the reason under `missing` or `failed`.
    `work` contains further options of the load generator.
    """
    row: dict[str, Any] = {"name": peer.name, "what": peer.description}
    try:
        with tempfile.TemporaryDirectory(prefix="tickwire-bench-") as name:
            port = find_free_port()
            with _run_peer(peer, port, Path(name)) as server:
                options = {**peer.load_options(), **work, "port": port, "readers": readers, "seconds": seconds}
                return row | _run_load(server, options, port, readers, peer.companions)
    except PeerUnavailable as error:
        return row | {"missing": str(error)}
    except (ClientError, subprocess.SubprocessError) as error:
        return row | {"failed": str(error)}


@contextlib.contextmanager
def _run_peer(peer: Peer, port: int, folder: Path) -> Iterator[ProcessGroup]:
    """Run the peer on `port`. If the peer has a proxy, run the proxy on `port` in front of the peer."""
    if peer.proxy_command is None:
        command = peer.command(port, folder)
        with run_program(command, port, folder, peer.env, reports_ready=peer.reports_ready) as server:
            yield server
        return
    inner_port = find_free_port()
    with (
        run_program(peer.command(inner_port, folder), inner_port, folder, peer.env) as server,
        run_program(peer.proxy_command(port, inner_port, folder), port, folder, {}) as proxy,
    ):
        yield server + proxy


def _run_load(
    server: ProcessGroup, options: dict[str, object], port: int, readers: int, companions: ProcessGroup
) -> dict[str, Any]:
    memory_before, cpu_before = server.memory_bytes(), server.cpu_seconds()
    with _LoadGenerator(options) as load:
        connects_cpu = None
        if load.wait_for_message() == "opened":
            connects_cpu = server.cpu_seconds() - cpu_before
            load.go_on()
            load.wait_for_message()
        memory_ready = server.memory_bytes()
        server_cpu, companions_cpu = server.cpu_seconds(), companions.cpu_seconds()
        figures = load.run()
        server_cpu, companions_cpu = server.cpu_seconds() - server_cpu, companions.cpu_seconds() - companions_cpu
        # Measure before the block ends, because the connections and their send queues exist only until then.
        memory_after, queues = server.memory_bytes(), unsent_bytes(port)
    return figures | {
        "server_cpu": round(server_cpu / figures["working_s"], 3),
        "cpu_us": round(1e6 * server_cpu / max(1, figures["received"]), 3),
        "connect_us": None if connects_cpu is None else round(1e6 * connects_cpu / readers, 1),
        "beside_cpu": round(companions_cpu / figures["working_s"], 3),
        "kb_per_reader": round((memory_ready - memory_before) / readers / 1000, 1),
        "used_kb": round((memory_after - memory_before) / 1000),
        "queued_kb": round(sum(queues) / 1000),
        "stuck": len(queues),
    }


class _LoadGenerator:
    """The load generator on the second core. The first comment in load/load.c describes its messages."""

    def __init__(self, options: dict[str, object]) -> None:
        command = [str(compile_load_generator()), *(f"{name}={value}" for name, value in options.items())]
        self._process = subprocess.Popen(
            pin_to_core(1, command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def __enter__(self) -> _LoadGenerator:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def run(self) -> dict[str, Any]:
        """Start the load, wait until it ends, and return the figures."""
        self.go_on()
        figures: dict[str, Any] = json.loads(self.wait_for_message())
        return figures

    def go_on(self) -> None:
        """Answer a message, so that the load generator continues."""
        assert self._process.stdin is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()

    def wait_for_message(self) -> str:
        """Return the next message. Raise ClientError if the load generator ends without a further message."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise ClientError(self._process.communicate()[1].strip() or "the load generator ended without a message")
        return line.rstrip("\n")
