"""Splits an entry of ticks or candles that exceeds the size limit of a message.

The second half has the source and the key of the whole entry, so the journal contains this key only if it contains the
whole entry. The first half has another key. If an append fails between the halves, a repeated append finds the first
half by the key of this half.
"""

from __future__ import annotations

from tickwire.core.event import JournalEntry, RecordKind

_SPLITTABLE_KINDS = (RecordKind.TICKS, RecordKind.CANDLES)
_PART_SUFFIX = " part"


def can_split(entry: JournalEntry) -> bool:
    """Return True if the entry consists of several ticks or candles."""
    return entry.kind in _SPLITTABLE_KINDS and entry.event_count > 1


def split_entry(entry: JournalEntry) -> tuple[JournalEntry, JournalEntry]:
    """Return two entries that contain the first and the second half of the events."""
    count = entry.event_count // 2
    size = len(entry.data) // entry.event_count * count
    source = entry.source if entry.key is None else f"{owner_source(entry.source)}{_PART_SUFFIX}"
    key = None if entry.key is None else f"{entry.key}:{count}/{entry.event_count}"
    return (
        entry._replace(event_count=count, data=entry.data[:size], source=source, key=key),
        entry._replace(event_count=entry.event_count - count, data=entry.data[size:]),
    )


def owner_source(source: str) -> str:
    """Return the source of a whole entry. `source` is the source of the entry itself, or of one of its parts.

    The journal stores the newest term under the source of whole entries. To check the term of a part, the journal looks
    up the result of this function.
    """
    return source.removesuffix(_PART_SUFFIX)
