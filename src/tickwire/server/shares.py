"""The resources and logs that all clients share, and the maximum use of each resource by one bearer.

A *bearer* is the name under which the server counts the use of a resource. The bearer is the user of the token, or the
token if it names no user. If the request has no token, the bearer is the network address. The table in docs/security.md
derives from `SHARES`.
"""

from __future__ import annotations

from typing import NamedTuple

from tickwire.hub.fanout.ranked_screens import MAX_RANKED_SCREENS
from tickwire.hub.fanout.screen_shares import MAX_FILTER_PARTS_PER_BEARER, MAX_RANKED_SCREENS_PER_BEARER
from tickwire.hub.hub_pool import MAX_DELAYED_HUBS
from tickwire.ops.line_writer import MAX_QUEUED_BYTES
from tickwire.screens.index.registry import MAX_SHAPES
from tickwire.screens.index.text_bitmaps import MAX_PATTERNS
from tickwire.screens.index.value_matrix import MAX_CALCULATIONS
from tickwire.server.middleware.guard import MAX_LOGGED_STREAMS_PER_S
from tickwire.server.middleware.journal_writes import (
    MAX_BURST_MESSAGES,
    MAX_JOURNAL_BURST_BYTES,
    MAX_JOURNAL_BURST_EVENTS,
    MAX_JOURNAL_BYTES_PER_S,
    MAX_JOURNAL_EVENTS_PER_S,
    MAX_MESSAGE_BURST_BYTES,
    MAX_MESSAGE_BYTES_PER_S,
    MAX_MESSAGES_PER_S,
)
from tickwire.server.transport.body_room import (
    MAX_UNFINISHED_BYTES,
    MAX_UNFINISHED_BYTES_PER_BEARER,
    UPLOAD_BYTES,
)
from tickwire.sessions.revoked import MAX_REVOCATIONS
from tickwire.sessions.stored_subscriptions import MAX_STORED_BYTES, MAX_STORED_BYTES_PER_USER
from tickwire.sessions.subscription_overrides import (
    MAX_OVERRIDE_SYMBOLS,
    MAX_OVERRIDE_SYMBOLS_PER_USER,
    MAX_OVERRIDES,
    MAX_OVERRIDES_PER_USER,
)


class Share(NamedTuple):
    """A shared resource. All clients together may use at most `total`, and one client at most `per_bearer`.

    `counted_for` describes how the server identifies a client: by user, token or address. `answer` is the response to a
    request that exceeds a limit.
    """

    resource: str
    total: str
    per_bearer: str
    counted_for: str
    answer: str


_BEARER = "user; without a user, token; without a token, address"
_ANSWERS = "429 for a bearer, 503 in total"

SHARES: tuple[Share, ...] = (
    Share(
        "streams", "`--max-readers`", "`--max-per-user`, the claim `readers`", "user; without a user, token", _ANSWERS
    ),
    Share("streams of one address", "`--max-readers`", "`--max-per-address`", "address", _ANSWERS),
    Share("requests", "", "`--max-requests`, `--max-connects`", "address, and user", "429"),
    Share(
        "request bodies that have not arrived completely",
        f"{MAX_UNFINISHED_BYTES // 2**20} MB",
        f"{MAX_UNFINISHED_BYTES_PER_BEARER // 2**20} MB; each upload counts as {UPLOAD_BYTES // 2**20} MB",
        _BEARER,
        _ANSWERS,
    ),
    Share(
        "journal events for changed and stored subscriptions, evictions of own streams, and used tickets",
        "`--keep-bytes`, `--keep-events`",
        f"{MAX_JOURNAL_BURST_EVENTS:,} events at once, {MAX_JOURNAL_EVENTS_PER_S} a second over time; "
        f"{MAX_JOURNAL_BURST_BYTES // 2**20} MB at once, {MAX_JOURNAL_BYTES_PER_S // 1024} KB a second over time",
        _BEARER,
        "429",
    ),
    Share(
        "messages in the journal",
        "`--keep-bytes`, `--keep-events`",
        f"{MAX_BURST_MESSAGES:,} at once, {MAX_MESSAGES_PER_S} a second over time; "
        f"{MAX_MESSAGE_BURST_BYTES // 2**20} MB at once, {MAX_MESSAGE_BYTES_PER_S // 2**20} MB a second over time",
        _BEARER,
        "429",
    ),
    Share(
        "published ticks in the journal",
        "`--keep-bytes`, `--keep-events`",
        "`--max-requests` batches a second, `--max-body`",
        "address, and user",
        "429",
    ),
    Share(
        "changed subscriptions",
        f"{MAX_OVERRIDES:,}, with {MAX_OVERRIDE_SYMBOLS:,} symbols",
        f"{MAX_OVERRIDES_PER_USER:,}, with {MAX_OVERRIDE_SYMBOLS_PER_USER:,} symbols",
        "user",
        _ANSWERS,
    ),
    Share(
        "stored subscriptions",
        f"{MAX_STORED_BYTES // 2**20} MB",
        f"{MAX_STORED_BYTES_PER_USER // 2**20} MB",
        _BEARER,
        _ANSWERS,
    ),
    *(
        Share(f"different {parts} in filters", f"{total:,}", f"{MAX_FILTER_PARTS_PER_BEARER}", _BEARER, _ANSWERS)
        for parts, total in (
            ("calculations", MAX_CALCULATIONS),
            ("text patterns", MAX_PATTERNS),
            ("structures", MAX_SHAPES),
        )
    ),
    Share("different top-N screens", f"{MAX_RANKED_SCREENS}", f"{MAX_RANKED_SCREENS_PER_BEARER}", _BEARER, _ANSWERS),
    Share(
        "symbols on the board",
        "`--max-board`",
        "`--max-board-per-publisher` symbols that match the claim `symbols`",
        "the symbols of a token that lists symbols",
        "429 for a publisher, 400 in total",
    ),
    Share("different delays", f"{MAX_DELAYED_HUBS}", "", "the claim `delay`", "503"),
    Share("revocations", f"{MAX_REVOCATIONS:,}", "", "admins", "503"),
    Share(
        "audit log: requests that change something",
        "`--audit-files` files of `--audit-bytes`",
        "the bound of the resource that the request changes",
        _BEARER,
        "the server deletes the oldest file",
    ),
    Share(
        "audit log: requests that change nothing",
        "`--audit-files` files of `--audit-bytes`",
        "2 lines a second",
        _BEARER,
        "the client receives the usual answer, and the second line counts the other requests",
    ),
    Share(
        "request log: starts and ends of streams",
        f"{MAX_LOGGED_STREAMS_PER_S:.0f} streams a second",
        "",
        "",
        "the client receives the usual answer, and a metric counts the requests without a line",
    ),
    Share(
        "lines that wait for a slow disk or pipe",
        f"{MAX_QUEUED_BYTES // 2**20} MB for each log",
        "",
        "",
        "the client receives the usual answer; the server drops the line, and counts it",
    ),
)
