"""What goes through the journal beside events: so it reaches readers wherever they are, and outlives a restart.

A control is a named event of a kind that no subscription lists. Whoever applies the journal's records takes note.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec

from tickwire.core.codec import decode
from tickwire.core.event import Entry, Named, named_entry

CONTROL = "control"
"""The name and kind of such an event."""


class Change(msgspec.Struct, frozen=True, tag_field="do", tag="change"):
    """Readers of one client id that came with the subscription `asked` have the subscription `now`; both described.

    Clients choose their ids, so the `user` counts too (None: those that have none). `after` is the newest event that
    its maker had seen: where another change of the same came since, it is void. None is never void.
    """

    client_id: str
    asked: dict[str, Any]
    now: dict[str, Any]
    user: str | None = None
    after: int | None = None


class Hold(msgspec.Struct, frozen=True, tag_field="do", tag="hold"):
    """Some process has readers here and now: of these client ids, and of these kept subscriptions.

    Those had changes, and these could be let go, where nobody else saw that they are in use.
    """

    clients: list[str] = []
    kept: list[str] = []


class Forget(msgspec.Struct, frozen=True, tag_field="do", tag="forget"):
    """Nobody comes back to the changes that were these events, as far as could be seen up to event `after`."""

    changes: list[int]
    after: int


class Keep(msgspec.Struct, frozen=True, tag_field="do", tag="keep"):
    """A subscription that readers may name: the parameters of a stream request, under an id.

    It is counted as the user's, unless that is None.
    """

    id: str
    parameters: dict[str, str]
    user: str | None = None


class Evict(msgspec.Struct, frozen=True, tag_field="do", tag="evict"):
    """The streams of one client id, or of one user, end; they are told to wait for `retry_ms`.

    With `user`, only those of that user among them.
    """

    name: str
    retry_ms: int
    user: str | None = None


class Revoke(msgspec.Struct, frozen=True, tag_field="do", tag="revoke"):
    """The tokens of one user (`user:NAME`), issued until `at`, or one token (`token:ID`) are refused, and streams end.

    `at` and `until`, when no such token can be good any more, are seconds since the Unix epoch.
    """

    name: str
    at: float
    until: float
    retry_ms: int


class Spend(msgspec.Struct, frozen=True, tag_field="do", tag="spend"):
    """A ticket was used. Its name is the key of the journal's entry, which takes each key once."""


class Stage(msgspec.Struct, frozen=True, tag_field="do", tag="stage"):
    """The simulation plays this scenario since the market's time `began` (nanoseconds), or none.

    `by_hand` says that it was put while the market ran.
    """

    scenario: dict[str, Any] | None
    began: int = 0
    by_hand: bool = False


Control: TypeAlias = Change | Forget | Keep | Hold | Evict | Revoke | Spend | Stage


def control_entry(control: Control) -> Entry:
    """The control as an entry for the journal."""
    return named_entry(CONTROL, control, kind=CONTROL)


def read_control(named: Named) -> Control:
    """The control in a named event of kind CONTROL."""
    return decode(bytes(named.data), Control)  # type: ignore[arg-type]  # a union is a type to msgspec
