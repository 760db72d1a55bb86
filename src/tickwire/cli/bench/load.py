"""One measurement: a server, the load against it, and what both report."""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from tickwire.cli.bench.machine import sources
from tickwire.cli.bench.peers import Missing, Peer, compiled
from tickwire.cli.bench.process import Server, free_port, on_core, running
from tickwire.errors import ClientError

_MOST_SECONDS = 120  # beyond the measured time: warming up, draining


def measure(peer: Peer, *, readers: int, seconds: float, **work: object) -> dict[str, Any]:
    """Start `peer`, connect `readers`, let the load work for `seconds`; its figures, or what stood in the way."""
    row: dict[str, Any] = {"name": peer.name, "what": peer.what}
    try:
        with tempfile.TemporaryDirectory(prefix="tickwire-bench-") as name:
            folder, port = Path(name), free_port()
            with running(peer.command(port, folder), port, folder, peer.env) as server:
                options = {**peer.load_options(), **work, "port": port, "readers": readers, "seconds": seconds}
                return row | _loaded(server, options, readers, seconds)
    except Missing as error:
        return row | {"missing": str(error)}
    except (ClientError, subprocess.SubprocessError) as error:
        return row | {"failed": str(error)}


def _loaded(server: Server, options: dict[str, object], readers: int, seconds: float) -> dict[str, Any]:
    program = compiled("load", sources() / "load.c")
    command = on_core(1, [str(program), *(f"{name}={value}" for name, value in options.items())])
    before = server.memory()
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as load:
        assert load.stdin is not None  # noqa: S101  # pipes were asked for
        assert load.stdout is not None  # noqa: S101
        if load.stdout.readline().strip() != "ready":
            raise ClientError(load.communicate()[1].strip() or "the load ended")
        memory, cpu = server.memory(), server.seconds()
        out, problem = load.communicate("go\n", timeout=seconds + _MOST_SECONDS)
        if load.returncode:
            raise ClientError(problem.strip())
    figures: dict[str, Any] = json.loads(out)
    figures["server_cpu"] = round((server.seconds() - cpu) / figures["seconds"], 3)
    figures["kb_per_reader"] = round((memory - before) / readers / 1000, 1)
    return figures
