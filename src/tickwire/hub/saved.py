"""What the hub has learned from all events up to some number, as the journal keeps it."""

from __future__ import annotations

import msgspec

from tickwire.hub.control import Change, Revoke, Stage


class Saved(msgspec.Struct, frozen=True):
    """The board, changed and kept subscriptions, revoked tokens, candles, each as its owner saves it; what is played,
    and which symbols do not trade.

    `held` are the events that last spoke of the readers of `changes`, in the same order, and `owners` whose
    the `kept` ones are; older states have neither.
    """

    board: bytes
    changes: list[tuple[int, Change]] = msgspec.field(default_factory=list)
    kept: dict[str, dict[str, str]] = msgspec.field(default_factory=dict)
    revoked: list[Revoke] = msgspec.field(default_factory=list)
    candles: bytes = b""
    stage: Stage | None = None
    halted: list[str] = msgspec.field(default_factory=list)
    held: list[int] = msgspec.field(default_factory=list)
    owners: dict[str, str] = msgspec.field(default_factory=dict)


def pack_saved(saved: Saved) -> bytes:
    """The bytes for the journal."""
    return msgspec.msgpack.encode(saved)


def read_saved(data: bytes) -> Saved:
    """The inverse of `pack_saved`."""
    return msgspec.msgpack.decode(data, type=Saved)
