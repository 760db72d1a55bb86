"""Summaries, in a stream of their own beside the journal's.

A summary is cut into messages of one subject, which says all there is to know of it: its place, its time, who wrote
it, and how many messages it has. So one question lists all that are complete, and nobody reads what it does not want.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from typing import NamedTuple

from tickwire.journal.base import State
from tickwire.journal.nats.fetch import fetch
from tickwire.journal.nats.link import Link, Refused
from tickwire.journal.nats.stream import NoRoom, keeping, stream_info
from tickwire.journal.retention import Mark

_PART_BYTES = 256 * 1024  # well within what a server takes unless told otherwise, 1 MB
_EXISTS = 10058  # JetStream's code


class Kept(NamedTuple):
    """A complete summary."""

    mark: Mark
    subject: str
    parts: int


class States:
    """The summaries of one journal."""

    def __init__(self, link: Link, epoch: str) -> None:
        self._link = link
        self._epoch = epoch
        self._stream = f"{link.address.name}-states"

    async def open(self, replicas: int) -> None:
        """Make the stream where there is none; throw away what is of another epoch."""
        link = self._link
        configuration = {
            "name": self._stream,
            "description": "Tickwire summaries",
            "subjects": [link.address.subject("s", ">")],
            **keeping(replicas),
        }
        try:
            await link.api(f"STREAM.CREATE.{self._stream}", configuration)
        except Refused as error:
            if error.code != _EXISTS:
                raise NoRoom(f"the stream {self._stream} cannot be made on NATS: {error}") from None
        await self._clear()

    async def list(self) -> list[Kept]:
        """All that are complete, in the order of their places."""
        pattern = self._link.address.subject("s", self._epoch, ">")
        info = await stream_info(self._link, self._stream, pattern)
        subjects: dict[str, int] = info["state"].get("subjects") or {}
        found = [_kept(subject) for subject, count in subjects.items() if count == _kept(subject).parts]
        return sorted(found, key=lambda kept: kept.mark)

    async def save(self, state: State, ts: int) -> None:
        """Write a summary, each part acknowledged."""
        data = state.data
        pieces = [data[begin : begin + _PART_BYTES] for begin in range(0, len(data), _PART_BYTES)] or [b""]
        place = (str(state.sequence), str(ts), secrets.token_hex(4), str(len(pieces)))
        subject = self._link.address.subject("s", self._epoch, *place)
        for piece in pieces:
            await self._link.stored(subject, piece)

    async def load(self, kept: Kept) -> State:
        """Read a summary; JournalAway where it was dropped meanwhile."""
        pieces = await fetch(self._link, self._stream, 1, kept.parts, subject=kept.subject)
        return State(kept.mark.sequence, b"".join(pieces))

    async def drop(self, gone: Iterable[Kept]) -> None:
        """Throw summaries away."""
        for kept in gone:
            await self._link.api(f"STREAM.PURGE.{self._stream}", {"filter": kept.subject})

    async def _clear(self) -> None:
        """Throw away what belongs to a history that was lost."""
        info = await stream_info(self._link, self._stream, self._link.address.subject("s", ">"))
        epochs = {subject.split(".")[2] for subject in info["state"].get("subjects") or {}}
        for epoch in epochs - {self._epoch}:
            pattern = self._link.address.subject("s", epoch, ">")
            await self._link.api(f"STREAM.PURGE.{self._stream}", {"filter": pattern})


def _kept(subject: str) -> Kept:
    sequence, ts, _, count = subject.split(".")[-4:]
    return Kept(Mark(int(sequence), int(ts)), subject, int(count))
