"""Write docs/operations/dashboard-*.svg: the panels of the Grafana dashboards, drawn from the answers of Prometheus.

    make dev && .venv/bin/python docs/plot_dashboards.py

The script starts NATS, two servers with readers, publishers and a collector of traces, and Prometheus, which must be
installed. It takes about two minutes. The plots omit panels of single values, and panels without data.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import random
import re
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx2

from tickwire.calibration.svg_chart import Panel, axis_range, render_document
from tickwire.testing.nats_server import NatsServer
from tickwire.testing.otlp_receiver import run_otlp_receiver
from tickwire.testing.prometheus import PROMETHEUS, evaluate, run_prometheus
from tickwire.testing.server import ServerProcess
from tickwire.testing.wire import open_stream

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "operations"
RULES = ROOT / "deploy" / "prometheus" / "tickwire-rules.yml"
SECONDS, STEP_S = 90, 3
READERS = 60
MAX_BYTES = 60_000
# In one plot, more series would hide each other.
MAX_SERIES = 6
COLOURS = ("#2563eb", "#d97706", "#059669", "#9333ea", "#dc2626", "#475467")
# For each unit of Grafana: the name and the factor of the unit in the plot.
UNITS = {
    "s": ("ms", 1000.0), "bytes": ("MB", 1e-6), "Bps": ("KB per second", 1e-3), "percentunit": ("%", 100.0),
    "reqps": ("per second", 1.0), "short": ("", 1.0),
}  # fmt: skip


async def main() -> None:
    """Load two servers for SECONDS seconds, then query Prometheus and write the plots."""
    if PROMETHEUS is None:
        raise SystemExit("Prometheus is not installed: apt-get install prometheus")
    generator = load_generator()
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        receiver = stack.enter_context(run_otlp_receiver())
        os.environ |= {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint, "OTEL_BSP_SCHEDULE_DELAY": "1000"}
        nats = stack.enter_context(NatsServer(folder / "nats"))
        servers = [await stack.enter_async_context(start_server(role, nats.url, folder)) for role in ("feed", "edge")]
        targets = {name: url.removeprefix("http://") for name, url in zip(("feed", "edge"), servers, strict=True)}
        prometheus = await stack.enter_async_context(run_prometheus(folder, targets, RULES))
        begun_at = time.time()
        async with asyncio.TaskGroup() as tasks:
            load = [tasks.create_task(run_reader(servers[1])) for _ in range(READERS)]
            load.append(tasks.create_task(run_requests(servers[1])))
            await asyncio.sleep(SECONDS)
            for task in load:
                task.cancel()
        for dashboard in generator.DASHBOARDS:
            panels = [
                await draw_panel(generator, prometheus, panel, begun_at)
                for panel in dashboard.panels
                if panel.kind != "stat"
            ]
            write_plot(dashboard, [panel for panel in panels if panel is not None])


def load_generator() -> ModuleType:
    """Return the module deploy/grafana/generate.py."""
    spec = importlib.util.spec_from_file_location("grafana_generate", ROOT / "deploy" / "grafana" / "generate.py")
    if spec is None or spec.loader is None:
        raise SystemExit("deploy/grafana/generate.py cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@contextlib.asynccontextmanager
async def start_server(role: str, nats_url: str, folder: Path) -> AsyncIterator[str]:
    """Run a server with the simulated market until the `async with` block ends. Yield its URL."""
    (folder / role).mkdir()
    options = ("--journal", f"{nats_url}/plots", "--role", role, "--trace-ratio", "0.1", "--log-level", "error")
    async with ServerProcess(*options, cwd=folder / role) as server:
        yield server.url


async def run_reader(url: str) -> None:
    """Read a stream for some seconds, leave, and resume, until cancelled."""
    rng, last_id = random.Random(), None  # noqa: S311  # chooses the load
    options = ({}, {"delivery": "all"}, {"interval": "500ms"}, {"filter": "last > 50"}, {"candles": "1m"})
    while True:
        headers = {"last-event-id": last_id} if last_id else {}
        async with open_stream(url, rng.choice(options), headers=headers) as stream:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(rng.uniform(3, 15)):
                    while (event := await stream.next_event()) is not None:
                        last_id = event.id or last_id


async def run_requests(url: str) -> None:
    """Send requests until cancelled: most succeed, some are invalid."""
    rng = random.Random()  # noqa: S311  # chooses the load
    # A busy machine may answer late.
    async with httpx2.AsyncClient(base_url=url, timeout=60) as client:
        while True:
            await client.post("/v1/quotes", json=[{"symbol": f"P{rng.randrange(9)}", "last": rng.randint(1, 99)}])
            await client.get(rng.choice(["/v1/quotes", "/v1/instruments", "/v1/quotes/P1", "/v1/quotes?bad=1", "/x"]))
            await asyncio.sleep(rng.expovariate(20))


async def draw_panel(
    generator: ModuleType, prometheus: httpx2.AsyncClient, panel: Any, begun_at: float
) -> Panel | None:
    """Return the plot of a panel, or None if its queries return no data."""
    time_range = {"start": str(begun_at + 15), "end": str(begun_at + SECONDS), "step": str(STEP_S)}
    lines = []
    for query in panel.queries:
        text = generator.select(query.expression, 'job="tickwire"').replace("$__rate_interval", "10s")
        text = text.replace('job=~"$job"', 'job="tickwire"')
        for series in await evaluate(prometheus, text, **time_range):
            points = [(float(at) - begun_at, float(value)) for at, value in series["values"] if value != "NaN"]
            if points:
                lines.append((format_legend(query.legend, series["metric"]), points))
    if not lines:
        return None
    unit, factor = UNITS[panel.unit]
    largest_first = sorted(lines, key=lambda line: -max(y for _, y in line[1]))[:MAX_SERIES]
    ys = [y * factor for _, points in largest_first for _, y in points]
    y_range = axis_range(ys, include_zero=True) if any(ys) else (0.0, 1.0)
    plot = Panel(panel.title, unit, (0.0, float(SECONDS)), y_range)
    for (_, points), colour in zip(largest_first, COLOURS, strict=False):
        plot.draw_line([x for x, _ in points], [y * factor for _, y in points], colour)
    plot.draw_legend([(name, colour) for (name, _), colour in zip(largest_first, COLOURS, strict=False)])
    return plot


def format_legend(template: str, labels: dict[str, str]) -> str:
    """Insert the labels of a series into a legend of Grafana, such as `{{instance}} median`."""
    return re.sub(r"{{(\w+)}}", lambda match: labels.get(match[1], ""), template).strip()


def write_plot(dashboard: Any, panels: Sequence[Panel]) -> None:
    """Write the plots of a dashboard to its file."""
    path = FOLDER / f"dashboard-{dashboard.name}.svg"
    subtitle = f"two servers that share a journal on NATS, {READERS} readers; the axis shows seconds"
    text = render_document(dashboard.title, subtitle, panels, legend=())
    if len(text) > MAX_BYTES:
        raise SystemExit(f"{path} has {len(text):,} bytes, more than {MAX_BYTES:,}: increase STEP_S")
    path.write_text(text, encoding="utf-8")
    print(f"{path}: {len(panels)} panels, {len(text):,} bytes")


if __name__ == "__main__":
    asyncio.run(main())
