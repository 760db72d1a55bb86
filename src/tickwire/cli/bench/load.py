"""One measurement: a server, the load against it, and what both report."""

from __future__ import annotations

import contextlib
import json
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tickwire.cli.bench.peers import Missing, Peer, compiled_load
from tickwire.cli.bench.process import Server, free_port, on_core, queued, running
from tickwire.errors import ClientError


def measure(peer: Peer, *, readers: int, seconds: float, **work: object) -> dict[str, Any]:
    """Start `peer`, connect `readers`, let the load work for `seconds`; its figures, or what stood in the way."""
    row: dict[str, Any] = {"name": peer.name, "what": peer.what}
    try:
        with tempfile.TemporaryDirectory(prefix="tickwire-bench-") as name:
            port = free_port()
            with _serving(peer, port, Path(name)) as server:
                options = {**peer.load_options(), **work, "port": port, "readers": readers, "seconds": seconds}
                return row | _loaded(server, options, port, readers, peer.beside)
    except Missing as error:
        return row | {"missing": str(error)}
    except (ClientError, subprocess.SubprocessError) as error:
        return row | {"failed": str(error)}


@contextlib.contextmanager
def _serving(peer: Peer, port: int, folder: Path) -> Iterator[Server]:
    """The peer, listening on `port`, with its proxy before it where it has one."""
    if peer.front is None:
        with running(peer.command(port, folder), port, folder, peer.env, ready=peer.ready) as server:
            yield server
        return
    inner = free_port()
    with (
        running(peer.command(inner, folder), inner, folder, peer.env) as server,
        running(peer.front(port, inner, folder), port, folder, {}) as proxy,
    ):
        yield server + proxy


def _loaded(server: Server, options: dict[str, object], port: int, readers: int, beside: Server) -> dict[str, Any]:
    before = server.memory()
    with _Load(options) as load:
        load.await_ready()
        ready, cpu, other = server.memory(), server.seconds(), beside.seconds()
        figures = load.work()
        cpu, other = server.seconds() - cpu, beside.seconds() - other
        after, waiting = server.memory(), queued(port)  # its connections are open until it is left
    return figures | {
        "server_cpu": round(cpu / figures["working_s"], 3),
        "beside_cpu": round(other / figures["working_s"], 3),
        "kb_per_reader": round((ready - before) / readers / 1000, 1),
        "used_kb": round((after - before) / 1000),
        "queued_kb": round(sum(waiting) / 1000),
        "stuck": len(waiting),
    }


class _Load:
    """The running load, on the second core; what it says in its first comment is how one talks to it."""

    def __init__(self, options: dict[str, object]) -> None:
        command = [str(compiled_load()), *(f"{name}={value}" for name, value in options.items())]
        self._process = subprocess.Popen(
            on_core(1, command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def __enter__(self) -> _Load:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def await_ready(self) -> None:
        """Wait until all is set up."""
        self._line()

    def work(self) -> dict[str, Any]:
        """Let it work; its figures."""
        assert self._process.stdin is not None  # noqa: S101  # a pipe was asked for
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        figures: dict[str, Any] = json.loads(self._line())
        return figures

    def _line(self) -> str:
        assert self._process.stdout is not None  # noqa: S101
        line = self._process.stdout.readline()
        if not line:
            raise ClientError(self._process.communicate()[1].strip() or "the load ended, or took too long")
        return line
