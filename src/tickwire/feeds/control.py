"""The hands on a running feed: what START, PAUSE, SPEED=5 and the like do to it."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol, runtime_checkable

from tickwire.core.moment import read_moment
from tickwire.errors import InputError
from tickwire.feeds.base import Feed
from tickwire.feeds.pace import FASTEST, Pace
from tickwire.feeds.status import FeedStatus

COMMANDS = "START, PAUSE, RESUME, STOP, STEP or STEP=n, SPEED=n, SEEK=time"
_PLAIN = ("START", "PAUSE", "RESUME", "STOP", "STEP")
_VERBS = (*_PLAIN, "SPEED")  # that every paced feed takes
_MOST_STEPS = 1_000_000


class Command(NamedTuple):
    """A verb, and what stands behind its equals sign: steps, a speed, or a time in nanoseconds."""

    verb: str
    value: float = 1


@runtime_checkable
class Paced(Feed, Protocol):
    """A feed that takes its time from a Pace."""

    @property
    def pace(self) -> Pace:
        """The pace, with its hands."""
        ...


@runtime_checkable
class Seekable(Protocol):
    """A feed that can go to another place."""

    def seek(self, moment: int) -> None:
        """Go to a time in nanoseconds."""
        ...


class Control:
    """Obeys commands for one feed, and keeps its status true."""

    def __init__(self, feed: Paced, status: FeedStatus) -> None:
        self._feed = feed
        self._status = status
        status.speed = feed.pace.speed

    def obey(self, command: Command, now: int) -> None:
        """Do it; InputError where this feed cannot. `now` is the wall clock's, in nanoseconds."""
        verb, value = command
        self._check(verb)
        if verb == "SPEED":
            self._feed.pace.accelerate(value)
        elif verb == "SEEK":
            self._seek(int(value))
        elif verb == "STEP":
            self._feed.pace.step(int(value))
        else:
            getattr(self._feed.pace, verb.lower())()
        self._tell(now)

    def describe(self) -> dict[str, Any]:
        """The state, for people and programs; `time` is the market's, in microseconds."""
        pace, status = self._feed.pace, self._status
        return {
            "feed": status.feed,
            "mode": status.mode,
            "state": status.state,
            "speed": pace.speed,
            "time": None if pace.moment is None else pace.moment // 1000,
            "behind": round(pace.behind, 3),
            "halted": sorted(status.halted),
            "commands": self._verbs(),
        }

    def _verbs(self) -> list[str]:
        """What it can be told now."""
        seek = ["SEEK"] if isinstance(self._feed, Seekable) else []
        if self._feed.pace.motion == "ended":
            return ["START", *seek]
        return [] if self._over else [*_VERBS, *seek]

    def _check(self, verb: str) -> None:
        name = self._feed.name
        if self._over:
            raise InputError(f"the feed {name} has ended: there is nothing to control", field="command")
        if self._feed.pace.motion == "ended" and verb in ("PAUSE", "RESUME", "STOP"):
            said = f"{verb}: the feed {name} has come to its end"
            raise InputError(
                said, field="command", hint="START plays it from its start, SEEK=time goes to a time of it"
            )

    @property
    def _over(self) -> bool:
        """Whether the feed has stopped by itself, for good."""
        return self._status.state == "halted" and self._feed.pace.motion not in ("stopped", "ended")

    def _seek(self, moment: int) -> None:
        if not isinstance(self._feed, Seekable):
            raise InputError(f"SEEK: the feed {self._feed.name} has no past to go to; a replay has", field="command")
        self._feed.seek(moment)

    def _tell(self, now: int) -> None:
        pace, status = self._feed.pace, self._status
        status.speed = pace.speed
        if pace.motion == "running":
            if status.state in ("paused", "halted"):
                status.let_go(now)
        else:
            status.hold("paused" if pace.motion == "paused" else "halted")


def read_command(text: str) -> Command:
    """The command that `text` spells, in any case; InputError names those there are."""
    verb, equals, rest = (part.strip() for part in text.strip().partition("="))
    verb = verb.upper()
    if verb in _PLAIN and not equals:
        return Command(verb)
    if verb == "STEP":
        return Command(verb, _number(text, rest, 1, _MOST_STEPS, whole=True))
    if verb == "SPEED":
        return Command(verb, _number(text, rest, 0, FASTEST))
    if verb == "SEEK":
        return Command(verb, read_moment(rest, field="command"))
    raise InputError(f"unknown command {text[:40]!r}: choose {COMMANDS}", field="command")


def _number(text: str, value: str, low: float, high: float, *, whole: bool = False) -> float:
    try:
        number = int(value) if whole else float(value)
    except ValueError:
        number = -1
    if not low <= number <= high:
        kind = "a whole number" if whole else "a number"
        raise InputError(f"{text[:40]!r}: expected {kind} from {low} to {high:.0f}; {COMMANDS}", field="command")
    return number
