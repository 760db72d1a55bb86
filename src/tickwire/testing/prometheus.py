"""A real Prometheus server, which reads the metrics of servers in tests."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import httpx2

from tickwire.testing.ports import find_free_port

PROMETHEUS = shutil.which("prometheus")
"""The path of the program, or None if it is not installed."""


@contextlib.asynccontextmanager
async def run_prometheus(
    folder: Path, targets: Mapping[str, str], rules: Path | None = None
) -> AsyncIterator[httpx2.AsyncClient]:
    """Run Prometheus until the `async with` block ends. Yield a client of its API.

    Prometheus stores its data in `folder` and evaluates the rules in the file `rules`. Prometheus reads the metrics of
    the targets twice a second. `targets` maps the label `instance` of each server to its address, such as
    127.0.0.1:8000.
    """
    assert PROMETHEUS is not None
    static = [{"targets": [address], "labels": {"instance": name}} for name, address in targets.items()]
    configuration = {
        "global": {"scrape_interval": "500ms", "scrape_timeout": "500ms", "evaluation_interval": "500ms"},
        "rule_files": [] if rules is None else [str(rules.resolve())],
        "scrape_configs": [{"job_name": "tickwire", "static_configs": static}],
    }
    # Write JSON, because each JSON document is also a YAML document.
    (folder / "prometheus.yml").write_text(json.dumps(configuration))
    address = f"127.0.0.1:{find_free_port()}"
    process = await asyncio.create_subprocess_exec(
        PROMETHEUS, f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address={address}", "--enable-feature=exemplar-storage",
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        async with httpx2.AsyncClient(base_url=f"http://{address}") as client:
            yield client
    finally:
        process.terminate()
        await process.wait()


async def evaluate(prometheus: httpx2.AsyncClient, expression: str, **time_range: str) -> list[dict[str, Any]]:
    """Return the series of a query. Return an empty list while Prometheus does not answer.

    A query with the parameters `start`, `end` and `step` returns several values of each series.
    """
    path = "/api/v1/query_range" if time_range else "/api/v1/query"
    try:
        answer = await prometheus.get(path, params={"query": expression, **time_range})
    except httpx2.TransportError:
        return []
    if answer.status_code == 503:
        return []
    assert answer.status_code == 200, (expression, answer.text)
    result: list[dict[str, Any]] = answer.json()["data"]["result"]
    return result
