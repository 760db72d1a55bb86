"""The reasons why the server closes a stream.

The server, its metrics, its clients and the documentation use the table in this module.
"""

from __future__ import annotations

import enum
from typing import Self


class CloseReason(enum.StrEnum):
    """The reason why a stream ended. The `bye` event contains the reason, and metrics use the reason as a label.

    The value of a member is the text that the server sends. After every `bye`, a client waits for `reconnect_in_ms`
    milliseconds, and reconnects with its last event id. If `may_return` is False, the server rejects the client until
    the client presents other credentials.
    """

    _value_: str
    sender: str
    may_return: bool
    meaning: str

    def __new__(cls, text: str, sender: str, may_return: bool, meaning: str) -> Self:
        """Create a member with the value `text`, and store the other arguments as its attributes."""
        member = str.__new__(cls, text)
        member._value_ = text
        member.sender, member.may_return, member.meaning = sender, may_return, meaning
        return member

    DRAIN = (
        "drain", "a stopping server", True,
        "the server stops; `reconnect_in_ms` is 100 if another server accepts the reader now. Otherwise each reader "
        "has a different `reconnect_in_ms`, so that readers do not all reconnect at once",
    )  # fmt: skip
    LIFETIME = "lifetime", "the server", True, "the stream has lasted for `--max-lifetime`"
    EXPIRED = "expired", "the server", False, "the token has expired; connect again with a new token"
    EVICTED = (
        "evicted", "the server, for `DELETE /v1/clients`", True,
        "an operator or the user ended the stream; an `EventSource` "
        "[does not reconnect](#see-and-end-connected-streams). If the token was also revoked, the server rejects it "
        "from now on",
    )  # fmt: skip
    LIMIT = (
        "limit", "the server", True,
        "the server has no capacity for this filter, or can no longer serve this delay; a later attempt may succeed",
    )  # fmt: skip
    ERROR = (
        "error", "the server", True,
        "the server failed to serve this subscription; the server's log has the details",
    )  # fmt: skip
    LOST = "lost", "", True, "the connection ended without a `bye`; only metrics show this reason"

    @property
    def is_on_wire(self) -> bool:
        """Whether a `bye` event of the server can contain this reason."""
        return bool(self.sender)
