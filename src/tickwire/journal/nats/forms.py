"""The forms in which commits travel: one is chosen for what is written, every one is understood."""

from __future__ import annotations

from tickwire.journal.nats.commit import Commit, decode_packed


def decode(data: bytes) -> Commit:
    """The commit in a message, whatever its form."""
    return decode_packed(data)
