"""What a feed promises: batches of ticks, and where to go on after a restart."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from types import MappingProxyType
from typing import NamedTuple, Protocol

from tickwire.core.tick import Ticks

END = ":end"
"""Ends the key of the batch with which a feed has come to its end."""


class Batch(NamedTuple):
    """Some ticks in order. `key`, where a feed has one, says how far it has come: give it back to start after it.

    `trading` says of symbols that from these ticks on they trade (True) or do not (False); there need be no ticks then.
    """

    ticks: Ticks
    key: str | None = None
    trading: Mapping[str, bool] = MappingProxyType({})


class Feed(Protocol):
    """A source of ticks. It knows nothing downstream: whoever runs it decides where the batches go."""

    @property
    def name(self) -> str:
        """What the feed is called in statuses and logs."""
        ...

    @property
    def mode(self) -> str:
        """What its prices are: `simulated`, `replay` or `live`."""
        ...

    def batches(self, after: str | None = None) -> AsyncIterator[Batch]:
        """The feed's ticks at the feed's own pace, from its start or from after the batch with the key `after`.

        Ends when the source ends. A batch that is not taken holds the feed up.
        """
        ...
