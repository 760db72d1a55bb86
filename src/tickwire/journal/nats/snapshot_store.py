"""Stores the snapshots of a journal on NATS in a second JetStream stream. The first stream contains the events.

A snapshot is stored as several messages (chunks) on one subject. The subject contains the sequence number, the time, a
digest of the data and the number of chunks. The subject also contains a position in the stream of the events: the
number of a message, and the number of the first event in this message. Subjects from older versions of Tickwire contain
no position, and have a random token in place of the digest. To find all complete snapshots, Tickwire asks the server
for all subjects and the number of messages on each subject. The search needs one request, and reads no chunk.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from hashlib import blake2b

from tickwire.errors import JournalUnreadable
from tickwire.journal.base import Snapshot
from tickwire.journal.nats.connection import STREAM_EXISTS_CODE, JetStreamError, NatsConnection
from tickwire.journal.nats.fetch import fetch_messages
from tickwire.journal.nats.stream import StreamNotCreated, read_stream_info, stream_storage_config
from tickwire.journal.retention import SnapshotInfo
from tickwire.journal.shared.log import StoredSnapshot
from tickwire.journal.shared.numbering import LogAnchor

# The maximum size of a chunk. It is well below 1 MB, the default message limit of a NATS server.
_MAX_CHUNK_BYTES = 256 * 1024
_DIGEST_BYTES = 8
_NUMBER_GROUPS = ("message", "event", "sequence", "ts", "count")
_SUBJECT_PATTERN = re.compile(
    r"[^.]+\.s\.[^.]+\.(?:(?P<message>\d{1,18})\.(?P<event>\d{1,18})\.)?"
    r"(?P<sequence>\d{1,18})\.(?P<ts>\d{1,19})\.[0-9a-f]+\.(?P<count>\d{1,9})",
    re.ASCII,
)


class NatsSnapshotStore:
    """The snapshots of one journal. The location of a snapshot is its NATS subject.

    `epoch` is the epoch of the journal (see `Journal.epoch`). A snapshot with another epoch belongs to a lost history.
    """

    def __init__(self, connection: NatsConnection, epoch: str) -> None:
        self._connection = connection
        self._epoch = epoch
        self._stream = f"{connection.address.journal_name}-states"

    async def open(self, replicas: int) -> None:
        """Create the stream if it does not exist. Delete all snapshots that do not have this journal's epoch."""
        configuration = {
            "name": self._stream,
            # Do not change the description of the stream. All versions of Tickwire must use the same description,
            # because a cluster may contain several versions.
            "description": "Tickwire summaries",
            "subjects": [self._connection.address.subject("s", ">")],
            **stream_storage_config(replicas),
        }
        try:
            await self._connection.call_api(f"STREAM.CREATE.{self._stream}", configuration)
        except JetStreamError as error:
            if error.code != STREAM_EXISTS_CODE:
                raise StreamNotCreated(f"cannot create the stream {self._stream} on NATS: {error}") from None
        await self._delete_other_epochs()

    async def list_complete(self) -> Sequence[StoredSnapshot]:
        """Return the snapshots whose chunks are all stored, oldest first."""
        pattern = self._connection.address.subject("s", self._epoch, ">")
        info = await read_stream_info(self._connection, self._stream, pattern)
        counts: dict[str, int] = info["state"].get("subjects") or {}
        parsed = [(_parse_subject(subject), count) for subject, count in counts.items()]
        complete = [found[0] for found, count in parsed if found is not None and found[1] == count]
        return sorted(complete, key=lambda stored: stored.info)

    async def save(self, snapshot: Snapshot, ts: int, anchor: LogAnchor) -> None:
        """Write a snapshot. The server acknowledges each chunk."""
        data = snapshot.data
        starts = range(0, max(1, len(data)), _MAX_CHUNK_BYTES)
        # Compute the digest in a thread, because it takes 0.1 s for 100,000 symbols.
        digest = await asyncio.to_thread(_digest, data)
        tokens = (*map(str, (*anchor, snapshot.sequence, ts)), digest, str(len(starts)))
        subject = self._connection.address.subject("s", self._epoch, *tokens)
        for start in starts:
            await self._connection.publish_to_stream(subject, data[start : start + _MAX_CHUNK_BYTES])

    async def load(self, stored: StoredSnapshot) -> Snapshot:
        """Read a snapshot.

        Raise JournalUnavailable if another process has deleted the snapshot, or JournalUnreadable if it is damaged.
        """
        found = _parse_subject(stored.location)
        last = 0 if found is None else found[1]
        chunks = await fetch_messages(self._connection, self._stream, 1, count=last, subject=stored.location)
        data = b"".join(chunk.data for chunk in chunks)
        if stored.anchor is not None and f".{await asyncio.to_thread(_digest, data)}." not in stored.location:
            raise JournalUnreadable(f"the snapshot {stored.location} in the journal is damaged")
        return Snapshot(stored.info.sequence, data)

    async def delete(self, snapshots: Sequence[StoredSnapshot]) -> None:
        for stored in snapshots:
            await self._connection.call_api(f"STREAM.PURGE.{self._stream}", {"filter": stored.location})

    async def _delete_other_epochs(self) -> None:
        info = await read_stream_info(self._connection, self._stream, self._connection.address.subject("s", ">"))
        epochs = {subject.split(".")[2] for subject in info["state"].get("subjects") or {}}
        for epoch in epochs - {self._epoch}:
            pattern = self._connection.address.subject("s", epoch, ">")
            await self._connection.call_api(f"STREAM.PURGE.{self._stream}", {"filter": pattern})


def _parse_subject(subject: str) -> tuple[StoredSnapshot, int] | None:
    """Return a pair: the snapshot with this subject, and its number of chunks. Return None for any other subject."""
    match = _SUBJECT_PATTERN.fullmatch(subject)
    if match is None:
        return None
    message, event, sequence, ts, count = (int(match[name] or 0) for name in _NUMBER_GROUPS)
    anchor = LogAnchor(message, event) if match["message"] else None
    return StoredSnapshot(SnapshotInfo(sequence, ts), subject, anchor), count


def _digest(data: bytes) -> str:
    return blake2b(data, digest_size=_DIGEST_BYTES).hexdigest()
