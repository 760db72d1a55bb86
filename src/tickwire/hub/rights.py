"""What somebody may see and do: said by a token, or everything where no tokens are asked for.

A reader's subscription is narrowed to its rights in one place, `Rights.narrowed`, whichever way it came about: asked
for, put down before, changed while connected, or found again on a resume. So no other code has to think of rights.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from tickwire.core.candle import INTERVAL_NAMES
from tickwire.hub.names import ALL, Names
from tickwire.hub.subscription import Subscription

USER = "user:"
"""What stands before a user's name where a client id could stand too; no client id begins with it."""

TOKEN = "token:"  # noqa: S105  # a prefix
"""What stands before a token's id where a user could stand too."""

Scope: TypeAlias = Literal["publish", "messages", "admin", "metrics"]
SCOPES: tuple[Scope, ...] = ("publish", "messages", "admin", "metrics")


class Rights(msgspec.Struct, frozen=True, kw_only=True):
    """Who somebody is, and what that one may. Reading is bounded by `symbols` and `events`; `scopes` are all else.

    `user` and `token` are names (None: not known). `events` None is every kind. `readers` bounds streams at one time,
    0 is no bound. `interval` is the least time between updates of a symbol in ms, `delay` how many seconds behind the
    market is seen. `issued` and `expires` are seconds since the Unix epoch, None where nothing is said.
    """

    user: str | None = None
    token: str | None = None
    symbols: Names = ALL
    events: tuple[str, ...] | None = None
    scopes: frozenset[str] = frozenset()
    readers: int = 0
    interval: int = 0
    delay: int = 0
    issued: float | None = None
    expires: float | None = None

    def may(self, scope: Scope) -> bool:
        """Whether this one may do that; an admin may look at metrics too."""
        return scope in self.scopes or (scope == "metrics" and "admin" in self.scopes)

    def gets(self, event: str) -> bool:
        """Whether events of this kind may be seen."""
        return self.events is None or event in self.events

    @property
    def address(self) -> str | None:
        """Under what a message reaches all streams of the user."""
        return None if self.user is None else USER + self.user

    @property
    def bearer(self) -> str | None:
        """Whose that is which somebody made: the user's, or the token's where it names no user. None for nobody's."""
        return TOKEN + self.token if self.user is None and self.token is not None else self.address

    def narrowed(self, wanted: Subscription) -> Subscription:
        """What is left of a subscription within these rights: a part of it, equal to it where they allow it all."""
        if self.symbols.everything and self.events is None and not self.interval:
            return wanted
        return Subscription(
            wanted.names,
            events=[event for event in wanted.events if self.gets(event)],
            delivery="latest" if self.interval else wanted.delivery,
            fields=wanted.fields,
            interval=max(self.interval, wanted.interval),
            filter=wanted.screen,
            candles=INTERVAL_NAMES.get(wanted.candles),
            allowed=self.symbols,
        )


OPEN = Rights(scopes=frozenset(SCOPES))
"""Everything, of nobody in particular: the rights of all where no tokens are asked for."""
