"""Maps the source and key of an entry to its sequence numbers, so that the journal appends no entry twice."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from tickwire.core.event import SequenceRange


class _DedupEntry(NamedTuple):
    source: str
    key: str
    span: SequenceRange


class DedupIndex:
    """A map from the source and key of an entry to the sequence numbers of the entry.

    Call `add` in the order in which the journal contains the entries.
    """

    def __init__(self) -> None:
        self._spans: dict[tuple[str, str], SequenceRange] = {}
        self._newest_by_source: dict[str, _DedupEntry] = {}
        self._entries: deque[_DedupEntry] = deque()

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def oldest_sequence(self) -> int:
        """The sequence number of the last event of the oldest entry, or 0 if the index is empty."""
        return self._entries[0].span.last if self._entries else 0

    def find_span(self, source: str, key: str | None) -> SequenceRange | None:
        """Return the sequence numbers of the entry with this source and key, or None if there is no such entry.

        In the result, `is_new` is False, because the journal already contains the entry.
        """
        return None if key is None else self._spans.get((source, key))

    def newest_key(self, source: str) -> str | None:
        """Return the key of the newest entry of `source`, or None if the index contains no entry of `source`."""
        newest = self._newest_by_source.get(source)
        return newest.key if newest else None

    def add(self, source: str, key: str | None, span: SequenceRange) -> None:
        """Add an entry. Ignore an entry without a key."""
        if key is not None:
            entry = _DedupEntry(source, key, span._replace(is_new=False))
            self._spans[source, key] = entry.span
            self._newest_by_source[source] = entry
            self._entries.append(entry)

    def evict_through(self, through: int) -> None:
        """Remove the entries that end at or before event `through`."""
        while self._entries and self._entries[0].span.last <= through:
            entry = self._entries.popleft()
            del self._spans[entry.source, entry.key]
            if self._newest_by_source[entry.source] is entry:
                del self._newest_by_source[entry.source]
