"""`tickwire simulator`: the hands on a running server's feed, simulated or replayed."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from tickwire.cli.options import given_token, url_option
from tickwire.client.remote import Remote
from tickwire.feeds.control import read_command


@click.group()
def simulator() -> None:
    """Start, hold and speed up a running server's market, and give it another model or a scenario."""


def _plain(name: str, text: str) -> None:
    @url_option
    def run(url: str) -> None:
        _show(Remote(url, given_token()).command(name.upper()))

    simulator.command(name, help=text)(run)


_plain("start", "Run; after `stop` from the beginning.")
_plain("pause", "Hold: nothing is lost, and nothing moves.")
_plain("resume", "Go on where it was held.")
_plain("stop", "Hold until `start`.")


@simulator.command()
@click.argument("count", type=click.IntRange(1), default=1)
@url_option
def step(count: int, url: str) -> None:
    """Hold, but play the next moment that has ticks, or the next COUNT of them."""
    _show(Remote(url, given_token()).command(f"STEP={count}"))


@simulator.command()
@click.argument("n")
@url_option
def speed(n: str, url: str) -> None:
    """Let the market run N times as fast as time: 0.1, 5, up to 1000; 0 does not wait."""
    _send(f"SPEED={n}", url)


@simulator.command()
@click.argument("time")
@url_option
def seek(time: str, url: str) -> None:
    """Go to TIME in a recording (ISO 8601, UTC if it names no offset), forwards or backwards."""
    _send(f"SEEK={time}", url)


@simulator.command()
@url_option
def status(url: str) -> None:
    """How the market is."""
    _show(Remote(url, given_token()).state())


@simulator.command()
@click.argument("file", type=click.Path(path_type=Path))
@url_option
def model(file: Path, url: str) -> None:
    """Use the model in FILE from now on; prices go on from where they are."""
    _show(Remote(url, given_token()).put_model(file))


@simulator.command()
@click.argument("file", type=click.Path(path_type=Path), required=False)
@url_option
def scenario(file: Path | None, url: str) -> None:
    """Play the scenario in FILE from now on, in place of the one before; without FILE, none."""
    _show(Remote(url, given_token()).put_scenario(file))


def _send(command: str, url: str) -> None:
    read_command(command)  # what is wrong with it need not go to the server
    _show(Remote(url, given_token()).command(command))


def _show(state: dict[str, Any]) -> None:
    parts = [f"{state['feed']} {state['state']}"]
    if "speed" in state:
        parts.append(f"speed {state['speed']:g}")
    if state.get("time") is not None:
        parts.append(f"market time {datetime.fromtimestamp(state['time'] / 1e6, UTC):%Y-%m-%d %H:%M:%S.%f}Z"[:-4] + "Z")
    if state.get("behind"):
        parts.append(f"{state['behind']:g} s behind")
    if state.get("model"):
        parts.append(f"model {state['model']['version']}")
    if state.get("scenario"):
        parts.append(f"scenario {state['scenario']}")
    if state.get("halted"):
        parts.append(f"halted {' '.join(state['halted'])}")
    print(" · ".join(parts))
    if state.get("notice"):
        print(f"  {state['notice']}")
