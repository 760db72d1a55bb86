"""The rights of a caller: the rights of its token, or all rights on a server without tokens.

Only `Rights.restrict` reduces a subscription to the part that the reader may receive. Every subscription passes through
this method. It may be a requested or stored subscription. It may also have been changed while the reader was connected,
or restored when the reader resumed its stream.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal, TypeAlias

import msgspec

from tickwire.core.candle import INTERVAL_NAMES
from tickwire.core.event_kinds import EVENT_KINDS, EventKind
from tickwire.screens.screen import Screen
from tickwire.sessions.subscription import Subscription
from tickwire.sessions.symbol_set import ALL_SYMBOLS, SymbolSet

# The cache contains at most this number of restricted subscriptions. A cached subscription has at most this number of
# symbols, and its requested filter and order have at most this number of characters. All symbols together occupy about
# 10 MB, and all filters about 25 MB.
_MAX_CACHED_RESULTS = 1_024
_MAX_CACHED_SYMBOLS = 500
_MAX_CACHED_FILTER_CHARS = 1_000

USER_PREFIX = "user:"
"""The prefix that distinguishes a user address from a client id. No client id begins with this prefix."""

TOKEN_PREFIX = "token:"  # noqa: S105  # a prefix
"""The prefix that distinguishes a token id from a user address."""

DIGEST_PREFIX = "digest:"
"""If a token names neither a user nor an id, its digest identifies it. The digest has this prefix."""

_KINDS_OF_EARLIER_TICKS = frozenset({EventKind.CANDLE, EventKind.CORRECTION})

TokenScope: TypeAlias = Literal["publish", "messages", "admin", "metrics"]
SCOPES: tuple[TokenScope, ...] = ("publish", "messages", "admin", "metrics")


class Rights(msgspec.Struct, frozen=True, kw_only=True):
    """The identity and the permissions of a caller.

    `user` and `token` are the names of the user and of the token, or None if they are unknown. The caller may read the
    symbols in `symbols` while they match `filter`, and the event kinds in `events`. If `filter` is None, the caller may
    always read the symbols. If `events` is None, the caller may read every kind. `scopes` permit actions other than
    reading. `readers` is the maximum number of concurrent streams. 0 means no limit. `interval` is the shortest time
    between two updates of a symbol, in milliseconds. `delay` is the minimum age, in seconds, of the market data that
    the caller may read. `issued` and `expires` are seconds since the Unix epoch, or None if the token does not contain
    them.
    """

    user: str | None = None
    token: str | None = None
    symbols: SymbolSet = ALL_SYMBOLS
    filter: Screen | None = None
    events: tuple[str, ...] | None = None
    scopes: frozenset[str] = frozenset()
    readers: int = 0
    interval: int = 0
    delay: int = 0
    issued: float | None = None
    expires: float | None = None
    # The digest of the token, if the token names neither a user nor an id. The digest then identifies the token.
    digest: str | None = None

    def has_scope(self, scope: TokenScope) -> bool:
        """Whether the caller has the scope. The scope `admin` includes the scope `metrics`."""
        return scope in self.scopes or (scope == "metrics" and "admin" in self.scopes)

    def allows_event(self, event: str) -> bool:
        """Whether the caller may read events of this kind.

        Candles and corrections describe earlier ticks, and the server does not know which of these ticks matched the
        filter. So the server allows these two kinds only with a filter that always has the same result for a symbol.
        """
        if self.filter is not None and event in _KINDS_OF_EARLIER_TICKS and not self.filter.is_constant:
            return False
        return self.events is None or event in self.events

    @property
    def event_kinds(self) -> tuple[str, ...] | None:
        """The event kinds that the caller may read; None for every kind."""
        allowed = tuple(kind for kind in EVENT_KINDS if self.allows_event(kind))
        return None if allowed == EVENT_KINDS else allowed

    @property
    def allows_all_symbols(self) -> bool:
        """Whether the caller may read every symbol at any time."""
        return self.symbols.includes_all and self.filter is None

    @property
    def user_target(self) -> str | None:
        """The text `user:NAME`, which selects all streams of the caller's user, or None if the caller has no user."""
        return None if self.user is None else USER_PREFIX + self.user

    @property
    def principal(self) -> str | None:
        """The owner of data that the caller stores: the user, or the token if it names no user.

        None if the caller has neither a user nor a token.
        """
        if self.user is not None:
            return self.user_target
        if self.token is not None:
            return TOKEN_PREFIX + self.token
        return None if self.digest is None else DIGEST_PREFIX + self.digest

    def bearer(self, address: str) -> str | None:
        """Return the bearer of a request: the user, token or network address whose limits apply to the request.

        The bearer is the user; without a user, the token; without a token, the parameter `address`. Return None for an
        admin, because admins have no limits of this kind. Also return None if the address is unknown ("").
        """
        return None if self.has_scope("admin") else self.principal or address or None

    def restrict(self, requested: Subscription) -> Subscription:
        """Return the part of a subscription that these rights allow.

        Return the same object if the rights allow the whole subscription.
        """
        if self.allows_all_symbols and self.events is None and not self.interval:
            return requested
        is_long = (
            len(self.symbols.symbols) + len(requested.symbols) > _MAX_CACHED_SYMBOLS
            or requested.filter_length > _MAX_CACHED_FILTER_CHARS
        )
        if is_long:
            return self._restrict(requested)
        return _restrict_cached(self, requested)

    def _restrict(self, requested: Subscription) -> Subscription:
        return Subscription(
            requested.symbols_and_patterns,
            events=[event for event in requested.events if self.allows_event(event)],
            delivery="latest" if self.interval else requested.delivery,
            fields=requested.fields,
            interval=max(self.interval, requested.interval_ms),
            filter=requested.screen,
            candles=INTERVAL_NAMES.get(requested.candle_interval_s),
            heartbeats=requested.heartbeats,
            order=requested.ranking,
            allowed=self.symbols,
            required=self.filter,
        )


UNRESTRICTED_RIGHTS = Rights(scopes=frozenset(SCOPES))
"""All rights, without a user: the rights of every caller on a server without tokens."""


# Cache the results. The readers of a restricted token usually request the same few subscriptions, and each opening of a
# stream restricts the subscription several times. The cache contains only subscriptions, so it does not delay the
# revocation or the expiry of a token.
@lru_cache(maxsize=_MAX_CACHED_RESULTS)
def _restrict_cached(rights: Rights, requested: Subscription) -> Subscription:
    return rights._restrict(requested)
