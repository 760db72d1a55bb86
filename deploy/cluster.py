"""A NATS cluster of three servers on this machine, for tests and demonstrations: `python deploy/cluster.py [FOLDER]`.

Prints the address for `--journal` and runs until Ctrl-C. With `--storm SECONDS` it lets a storm blow over a cluster of
its own instead: servers, feeds and edges die while readers hop about, and every reader must end with every event once.
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

from tickwire.journal.nats.program import find_server
from tickwire.testing.nats import NatsCluster
from tickwire.testing.storm import Blow, Storm


def main() -> int:
    """Run what was asked for; the exit code is 1 where a reader's events are not all right."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "folder", nargs="?", type=Path, help="where the servers keep their data; a temporary one if none"
    )
    parser.add_argument("--storm", type=float, metavar="SECONDS", help="let a storm blow for so long")
    parser.add_argument("--readers", type=int, default=300)
    parser.add_argument("--rate", type=float, default=0.5, help="ticks a second of each symbol")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--roll", action="store_true", help="instead of a storm, restart the edges one after the other")
    given = parser.parse_args()
    if find_server() is None:
        print("there is no nats-server on this machine (Debian: apt-get install nats-server)", file=sys.stderr)
        return 2
    with contextlib.ExitStack() as opened:
        folder = given.folder or Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="tickwire-nats-")))
        return _storm(folder, given) if given.roll or given.storm is not None else _run(folder)


def _run(folder: Path) -> int:
    with NatsCluster(folder) as cluster:
        print(f"tickwire serve --journal {cluster.url} --replicas 3", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            signal.pause()
    return 0


def _storm(folder: Path, given: argparse.Namespace) -> int:
    seed = random.randrange(2**32) if given.seed is None else given.seed
    print(f"seed {seed}, {given.readers} readers", flush=True)
    storm = Storm(folder, random.Random(seed), readers=given.readers, rate=given.rate)
    outcome = asyncio.run(storm.roll() if given.roll else storm.run(given.storm))
    print(f"{outcome.events} events, {outcome.hops} hops, {len(outcome.blows)} blows")
    for what in sorted({blow.what for blow in outcome.blows}):
        print(f"  {what}: {_silences(outcome.blows, what)}")
    _histogram(outcome.returns)
    print("every reader has every event once, in order" if not outcome.wrong else "\n".join(outcome.wrong[:20]))
    return 1 if outcome.wrong else 0


def _histogram(returns: Sequence[float]) -> None:
    """How many came back in each half second after an edge began to drain."""
    counts = Counter(int(2 * each) for each in returns)
    for half in range(max(counts, default=-1) + 1):
        print(f"  {half / 2:4.1f} s {'#' * (60 * counts[half] // max(counts.values()))} {counts[half]}")


def _silences(blows: Sequence[Blow], what: str) -> str:
    found = sorted(blow.silence for blow in blows if blow.what == what)
    return f"{len(found)} times, nothing new for {statistics.median(found):.1f} s (median), {found[-1]:.1f} s at most"


if __name__ == "__main__":
    sys.exit(main())
