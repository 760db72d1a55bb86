"""Which (source, key) pairs are in the history that is kept: what makes a repeated append harmless."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from tickwire.core.event import Span


class _Held(NamedTuple):
    source: str
    key: str
    span: Span


class Keys:
    """The keys of appended entries, added in the order of their numbers and dropped from the oldest on."""

    def __init__(self) -> None:
        self._spans: dict[tuple[str, str], Span] = {}
        self._newest: dict[str, _Held] = {}
        self._held: deque[_Held] = deque()

    def __len__(self) -> int:
        return len(self._held)

    @property
    def oldest(self) -> int:
        """The last event of the oldest entry here; 0 for none."""
        return self._held[0].span.last if self._held else 0

    def find(self, source: str, key: str | None) -> Span | None:
        """The events that were appended under this key, as a repetition is answered."""
        return None if key is None else self._spans.get((source, key))

    def newest(self, source: str) -> str | None:
        """The key of the newest entry of `source`."""
        held = self._newest.get(source)
        return held.key if held else None

    def add(self, source: str, key: str | None, span: Span) -> None:
        """Note an entry; one without a key is nothing to note."""
        if key is not None:
            held = _Held(source, key, span._replace(fresh=False))
            self._spans[source, key] = held.span
            self._newest[source] = held
            self._held.append(held)

    def drop(self, through: int) -> None:
        """Forget the entries whose events are all at or before `through`."""
        while self._held and self._held[0].span.last <= through:
            held = self._held.popleft()
            del self._spans[held.source, held.key]
            if self._newest[held.source] is held:
                del self._newest[held.source]
