"""`tickwire status`: one screen with the health, the feed, the readers and the lag of a server."""

from __future__ import annotations

import sys
from datetime import timedelta
from typing import Any

import click

from tickwire.cli.client_options import token_from_environment
from tickwire.client.operations import read_operations

_NOT_READY = 1


@click.command()
@click.argument("url", default="http://127.0.0.1:8000")
def status(url: str) -> None:
    """Print the state of the server at URL (default http://127.0.0.1:8000): health, feed, readers, rates and journal.

    The exit code is 1 if the server is not ready. If the server requires a token, set TICKWIRE_TOKEN to a token with
    the scope `admin`.
    """
    is_ready, operations = read_operations(url, token=token_from_environment())
    print("\n".join(f"{name:9}{text}" for name, text in describe_status(is_ready, operations)))
    if not is_ready:
        sys.exit(_NOT_READY)


def describe_status(is_ready: bool, operations: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the lines of the screen as pairs of a name and a text."""
    journal, history = operations["journal"], operations["history"]
    newest = {name: values[-1] for name, values in history.items() if isinstance(values, list) and values}
    lines = [("health", "ready" if is_ready else "not ready")]
    lines += [("", problem) for problem in operations["problems"]]
    for feed in operations["feeds"]:
        age = feed["last_tick_age"]
        newest_tick = "no tick yet" if age is None else f"newest tick {age:.1f} s ago"
        lines.append(("feed", f"{feed['feed']} ({feed['mode']}), {feed['state']}, {newest_tick}"))
    lines += [
        ("readers", f"{operations['readers']:,} of {operations['max_readers']:,}, {operations['behind']:,} behind"),
        ("rates", _describe_rates(newest)),
        ("latency", _describe_latency(newest)),
        ("lag", f"{operations['lag']:,} events"),
        ("losses", f"{operations['totals']['gaps']:,} gaps, {operations['totals']['conflated']:,} conflated quotes"),
        ("journal", f"{journal['kind']}, {journal['events']:,} events, {journal['bytes'] / 1e6:,.1f} MB"),
        ("process", _describe_process(operations)),
    ]
    return lines


def _describe_rates(newest: dict[str, Any]) -> str:
    if not newest:
        return "not measured yet"
    return (
        f"{newest['ticks']:,.0f} ticks/s, {newest['deliveries']:,.0f} deliveries/s, {newest['bytes'] / 1e6:,.1f} MB/s"
    )


def _describe_latency(newest: dict[str, Any]) -> str:
    if newest.get("p50") is None:
        return "not measured yet"
    return f"median {newest['p50']:.1f} ms, 99 % {newest['p99']:.1f} ms; loop delay {newest['loop_delay']:.1f} ms"


def _describe_process(operations: dict[str, Any]) -> str:
    memory = operations["memory"]
    size = "" if memory is None else f", {memory / 1e6:,.0f} MB"
    uptime = timedelta(seconds=round(operations["uptime"]))
    return f"version {operations['version']}, up {uptime}{size}, sender {operations['sender']}"
