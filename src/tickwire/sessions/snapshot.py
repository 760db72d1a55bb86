"""The snapshot of a hub: the state after all events up to a sequence number.

The journal stores snapshots.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from tickwire.core.codec import LargeBytes, encode_large_struct
from tickwire.sessions.admin_events import ScenarioStarted, SubscriptionChanged, TokensRevoked


class SavedStatus(NamedTuple):
    """The newest status event: its sequence number, and its data as JSON."""

    sequence: int
    data: bytes


class HubSnapshot(msgspec.Struct, frozen=True):
    """The saved board and candles, and the state of the session registry.

    `changes` contains the subscriptions that were changed while their readers were connected. Each of them is in a pair
    with the sequence number of its newest change. For each of these subscriptions, `held` contains the number of the
    newest event that reported one of its readers as connected.

    `kept` maps the id of each stored subscription to the parameters of the subscription. `owners` maps the same ids to
    the users that stored them. `stage` is the simulation's scenario. `halted` lists the symbols whose trading is
    halted. `revoked_ages` maps the names in `revoked` to the ages of the revocations in seconds. `unreadable` contains
    two sequence numbers: the first and the last event of the newest range that could not be read. Snapshots of earlier
    versions lack `held`, `owners`, `revoked_ages`, `status` and `unreadable`.
    """

    board: LargeBytes
    changes: list[tuple[int, SubscriptionChanged]] = msgspec.field(default_factory=list)
    kept: dict[str, dict[str, str]] = msgspec.field(default_factory=dict)
    revoked: list[TokensRevoked] = msgspec.field(default_factory=list)
    candles: LargeBytes = b""
    stage: ScenarioStarted | None = None
    halted: list[str] = msgspec.field(default_factory=list)
    held: list[int] = msgspec.field(default_factory=list)
    owners: dict[str, str] = msgspec.field(default_factory=dict)
    unreadable: tuple[int, int] = (1, 0)
    revoked_ages: dict[str, float] = msgspec.field(default_factory=dict)
    status: SavedStatus | None = None


def encode_hub_snapshot(snapshot: HubSnapshot) -> bytes:
    """Encode a snapshot for the journal."""
    return encode_large_struct(snapshot)


def decode_hub_snapshot(data: bytes) -> HubSnapshot:
    """Decode the result of `encode_hub_snapshot`."""
    return msgspec.msgpack.decode(data, type=HubSnapshot)
