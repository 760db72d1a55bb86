"""`tickwire simulator`: control the simulated or replayed feed of a running server."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from tickwire.cli.client_options import server_url_option, token_from_environment
from tickwire.client.client import BlockingSimulator, Client
from tickwire.feeds.playback_commands import parse_command


@click.group()
def simulator() -> None:
    """Control the feed of a running server: run, pause, speed, seek, model and scenario."""


def _register_command(name: str, help_text: str) -> None:
    @server_url_option
    def run(url: str) -> None:
        _request_state(url, lambda simulator: simulator.send_command(name.upper()))

    simulator.command(name, help=help_text)(run)


_register_command("start", "Start the market. After `stop`, the market starts from the beginning.")
_register_command("pause", "Pause the market. `resume` continues without a loss of ticks.")
_register_command("resume", "Continue a paused market.")
_register_command("stop", "Stop the market until `start`.")


@simulator.command()
@click.argument("count", type=click.IntRange(1), default=1)
@server_url_option
def step(count: int, url: str) -> None:
    """Play the ticks of the next COUNT timestamps (default: 1), and leave the market paused."""
    _request_state(url, lambda simulator: simulator.send_command(f"STEP={count}"))


@simulator.command()
@click.argument("n")
@server_url_option
def speed(n: str, url: str) -> None:
    """Run the market at N times real time, such as 0.1 or 5. N is at most 1000, and 0 means as fast as possible."""
    _send_checked_command(f"SPEED={n}", url)


@simulator.command()
@click.argument("time")
@server_url_option
def seek(time: str, url: str) -> None:
    """Seek forwards or backwards to TIME in a recording (ISO 8601; UTC if TIME has no offset)."""
    _send_checked_command(f"SEEK={time}", url)


@simulator.command()
@server_url_option
def status(url: str) -> None:
    """Show the state of the market."""
    _request_state(url, lambda simulator: simulator.status())


@simulator.command()
@click.argument("file", type=click.Path(path_type=Path))
@server_url_option
def model(file: Path, url: str) -> None:
    """Switch to the market model in FILE. Prices continue from their current values."""
    _request_state(url, lambda simulator: simulator.set_model(file))


@simulator.command()
@click.argument("file", type=click.Path(path_type=Path), required=False)
@server_url_option
def scenario(file: Path | None, url: str) -> None:
    """Replace the current scenario with the scenario in FILE. Without FILE, end the current scenario."""
    _request_state(url, lambda simulator: simulator.set_scenario(file))


def _send_checked_command(command: str, url: str) -> None:
    # Check the command before the request, so that a wrong command fails even without a server.
    parse_command(command)
    _request_state(url, lambda simulator: simulator.send_command(command))


def _request_state(url: str, request: Callable[[BlockingSimulator], dict[str, Any]]) -> None:
    """Send a request to the simulator, and print the state in its answer."""
    with Client(url, token=token_from_environment()) as client:
        _print_state(request(client.simulator))


def _print_state(state: dict[str, Any]) -> None:
    parts = [f"{state['feed']} {state['state']}"]
    if "speed" in state:
        parts.append(f"speed {state['speed']:g}")
    if state.get("time") is not None:
        parts.append(f"market time {datetime.fromtimestamp(state['time'] / 1e6, UTC):%Y-%m-%d %H:%M:%S.%f}Z"[:-4] + "Z")
    if state.get("behind"):
        parts.append(f"{state['behind']:g} s behind schedule")
    if state.get("model"):
        parts.append(f"model {state['model']['version']}")
    if state.get("scenario"):
        parts.append(f"scenario {state['scenario']}")
    if state.get("halted"):
        parts.append(f"halted {' '.join(state['halted'])}")
    print(" · ".join(parts))
    if state.get("notice"):
        detail = state.get("notice_detail")
        print(f"  {state['notice']}" + (f": {detail}" if detail else ""))
