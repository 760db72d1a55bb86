"""Playback commands such as PAUSE and SPEED=5: their syntax, and their effect on a feed."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol, runtime_checkable

from tickwire.core.timestamps import parse_timestamp
from tickwire.errors import InputError
from tickwire.feeds.base import Feed
from tickwire.feeds.feed_status import FeedStatus
from tickwire.feeds.playback_clock import MAX_SPEED, PlaybackClock

COMMAND_SYNTAX = "START, PAUSE, RESUME, STOP, STEP or STEP=n, SPEED=n, SEEK=time"
_PLAIN_VERBS = ("START", "PAUSE", "RESUME", "STOP", "STEP")
_PLAYBACK_VERBS = (*_PLAIN_VERBS, "SPEED")
VERBS = (*_PLAYBACK_VERBS, "SEEK")
_VERBS_INVALID_AT_END = ("PAUSE", "RESUME", "STOP")
_MAX_STEPS = 1_000_000


class PlaybackCommand(NamedTuple):
    """A playback command such as SPEED=5: its verb and its value.

    The value is a number of steps, a speed, or a time in nanoseconds since the Unix epoch.
    """

    verb: str
    value: float = 1


@runtime_checkable
class PlaybackFeed(Feed, Protocol):
    """A feed that releases its ticks through a PlaybackClock."""

    @property
    def playback_clock(self) -> PlaybackClock: ...


@runtime_checkable
class Seekable(Protocol):
    """A feed that can move to another time."""

    def seek(self, market_time: int) -> None:
        """Continue playback from `market_time`, in nanoseconds since the Unix epoch."""
        ...


@runtime_checkable
class RecordedFeed(Protocol):
    """A feed that plays a recording."""

    def describe_recording(self) -> dict[str, Any] | None:
        """Return the times of the recording as JSON data. Return None if they are unknown."""
        ...


class PlaybackController:
    """Applies commands to one feed, and updates the feed's status."""

    def __init__(self, feed: PlaybackFeed, status: FeedStatus) -> None:
        self._feed = feed
        self._status = status
        status.speed = feed.playback_clock.speed

    def apply(self, command: PlaybackCommand, now_s: float) -> None:
        """Apply a playback command at the monotonic time `now_s`, in seconds.

        Raise InputError if the feed does not support the command, or if the feed has failed. Also raise InputError if
        the feed has ended and the command is PAUSE, RESUME or STOP.
        """
        verb, value = command
        self._check_allowed(verb)
        if verb == "SPEED":
            self._feed.playback_clock.set_speed(value)
        elif verb == "SEEK":
            self._seek(int(value))
        elif verb == "STEP":
            self._feed.playback_clock.step(int(value))
        else:
            getattr(self._feed.playback_clock, verb.lower())()
        self._update_status(now_s)

    def describe(self) -> dict[str, Any]:
        """Return the state of playback as JSON data. In the data, `time` is the market time in microseconds."""
        clock, status = self._feed.playback_clock, self._status
        return {
            "feed": status.feed_name,
            "mode": status.mode,
            "state": status.state,
            "speed": clock.speed,
            "time": None if clock.market_time is None else clock.market_time // 1000,
            "behind": round(clock.lag_s, 3),
            "halted": sorted(status.halted_symbols),
            "commands": self._available_verbs(),
            "recording": self._feed.describe_recording() if isinstance(self._feed, RecordedFeed) else None,
        }

    def _available_verbs(self) -> list[str]:
        if self._has_failed:
            return []
        has_ended = self._feed.playback_clock.state == "ended"
        verbs = [verb for verb in _PLAYBACK_VERBS if not (has_ended and verb in _VERBS_INVALID_AT_END)]
        return [*verbs, "SEEK"] if isinstance(self._feed, Seekable) else verbs

    def _check_allowed(self, verb: str) -> None:
        name = self._feed.name
        if self._has_failed:
            raise InputError(
                f"the feed {name} has failed and accepts no commands: restart the server to play the feed again",
                field="command",
            )
        if self._feed.playback_clock.state == "ended" and verb in _VERBS_INVALID_AT_END:
            raise InputError(
                f"{verb} has no effect: the feed {name} has ended",
                field="command",
                hint="use START to play the feed from its beginning, or SEEK=TIME to play the feed from this time",
            )

    @property
    def _has_failed(self) -> bool:
        """Whether the feed failed. A feed that was stopped, or whose recording ended, has not failed."""
        return self._status.state == "halted" and self._feed.playback_clock.state not in ("stopped", "ended")

    def _seek(self, market_time: int) -> None:
        if not isinstance(self._feed, Seekable):
            raise InputError(
                f"the feed {self._feed.name} does not accept SEEK: only a replay accepts SEEK", field="command"
            )
        self._feed.seek(market_time)

    def _update_status(self, now_s: float) -> None:
        clock, status = self._feed.playback_clock, self._status
        status.speed = clock.speed
        if isinstance(self._feed, Seekable):
            # Replace the notice. A notice of an early end is no longer true if the command begins another run through
            # the feed's ticks.
            status.notice = self._feed.connection.reason
        if clock.state == "running":
            if status.state in ("paused", "halted"):
                status.mark_resumed(now_s)
        else:
            status.mark_held("paused" if clock.state == "paused" else "halted")


def parse_command(text: str) -> PlaybackCommand:
    """Parse a command in upper or lower case.

    If the command is invalid, raise an InputError that lists all commands.
    """
    verb, equals, value = (part.strip() for part in text.strip().partition("="))
    verb = verb.upper()
    if verb in _PLAIN_VERBS and not equals:
        return PlaybackCommand(verb)
    if verb == "STEP":
        return PlaybackCommand(verb, _parse_number(text, value, 1, _MAX_STEPS, is_integer=True))
    if verb == "SPEED":
        return PlaybackCommand(verb, _parse_number(text, value, 0, MAX_SPEED))
    if verb == "SEEK":
        return PlaybackCommand(verb, parse_timestamp(value, field="command"))
    raise InputError(f"unknown command {text[:40]!r}: choose {COMMAND_SYNTAX}", field="command")


def _parse_number(text: str, value: str, minimum: float, maximum: float, *, is_integer: bool = False) -> float:
    try:
        number = int(value) if is_integer else float(value)
    except ValueError:
        number = -1
    if not minimum <= number <= maximum:
        kind = "a whole number" if is_integer else "a number"
        raise InputError(
            f"invalid command {text[:40]!r}: expected {kind} from {minimum} to {maximum:.0f}; use {COMMAND_SYNTAX}",
            field="command",
        )
    return number
