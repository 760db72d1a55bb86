"""The readiness of one server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from tickwire.feeds.base import FeedConnection, FeedPart


class Problem(NamedTuple):
    """A reason why the server is not ready.

    Everybody may see the `summary`. Only admins may see the `detail`, which may contain a path or an address.
    """

    summary: str
    detail: str | None = None

    def describe(self, *, with_detail: bool = True) -> str:
        """Return the problem as one sentence."""
        return f"{self.summary}: {self.detail}" if with_detail and self.detail is not None else self.summary


@dataclass(frozen=True, kw_only=True)
class Health:
    """The state of the feed, and the problems that make the server unready. A server without problems is ready."""

    problems: list[Problem]
    feed: str
    mode: str
    state: str
    # The age of the newest tick, in seconds, or None before the first tick.
    last_tick_age_s: float | None
    # Whether this process runs the feed.
    runs_feed: bool = True
    # The state of the connection between the feed and its source, or None if this process runs no feed.
    connection: FeedConnection | None = None
    # The connections of the feed to other computers, and the state of each connection by its name.
    parts: Sequence[FeedPart] = ()
    part_states: Mapping[str, str] = field(default_factory=dict)
