"""The stream that holds a journal: made, or found and checked.

Its description says whose it is and names the epoch, so a stream that was lost and made again has another epoch.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from tickwire.core.ids import EPOCH_ALPHABET
from tickwire.errors import JournalError
from tickwire.journal.base import new_epoch
from tickwire.journal.nats.address import Address
from tickwire.journal.nats.commit import Commit
from tickwire.journal.nats.fetch import get_message
from tickwire.journal.nats.link import Link, Refused, is_missing
from tickwire.journal.nats.wire.forms import decode

_DESCRIPTION = re.compile(rf"Tickwire journal, epoch ([{EPOCH_ALPHABET}]+)")
_TAKEN = 10058  # JetStream's code: a stream of this name has another configuration
_OVERLAP = 10065  # and: another stream has these subjects


class NoRoom(JournalError):
    """The stream cannot be made now, for instance because too few servers of a cluster are there yet."""


class Opened(NamedTuple):
    """What was found: the stream's last message, and the events in it."""

    epoch: str
    sequence: int  # of the stream's last message
    first: int  # the oldest event
    head: int  # the newest event


def entries_subject(address: Address) -> str:
    """Where commits without a key are published."""
    return address.subject("e")


async def open_stream(link: Link, replicas: int) -> Opened:
    """The journal's stream; made where there is none. JournalError where it is a stranger's or cannot be made."""
    info = await _found_or_made(link, replicas)
    epoch = epoch_of(info)
    if epoch is None:
        name = link.address.name
        raise JournalError(f"the stream {name} on NATS is not Tickwire's: name another journal, nats://HOST/NAME")
    state = info["state"]
    if not state["messages"]:
        # Somebody emptied it: the numbers of what was there are not known any more, so they may not be given again.
        if state["last_seq"]:
            epoch = await _renamed(link, info["config"])
        return Opened(epoch, state["last_seq"], 1, 0)
    oldest, newest = [await commit_at(link, state[end]) for end in ("first_seq", "last_seq")]
    return Opened(epoch, state["last_seq"], oldest.first, newest.last)


def keeping(replicas: int) -> dict[str, Any]:
    """How a stream keeps what retention has not dropped: that is said message by message, because only what a summary
    covers may go.

    A stream that is full refuses what comes (discard new): its own choice would be the oldest, covered or not.
    """
    return {
        "retention": "limits",
        "storage": "file",
        "discard": "new",
        "num_replicas": replicas,
        "max_msgs": -1,
        "max_bytes": -1,
        "max_consumers": -1,
    }


async def stream_info(link: Link, name: str, subjects: str = "") -> dict[str, Any]:
    """What JetStream says of a stream; with `subjects`, also how many messages are on those of that pattern."""
    return await link.api(f"STREAM.INFO.{name}", {"subjects_filter": subjects} if subjects else None)


def epoch_of(info: dict[str, Any]) -> str | None:
    """The epoch that a stream's description names; None where it is not Tickwire's."""
    match = _DESCRIPTION.match(info["config"].get("description") or "")
    return match[1] if match else None


async def commit_at(link: Link, sequence: int) -> Commit:
    """The commit in one message of the stream."""
    return decode(await get_message(link, link.address.name, {"seq": sequence}))


async def _found_or_made(link: Link, replicas: int) -> dict[str, Any]:
    name = link.address.name
    try:
        return await stream_info(link, name)
    except Refused as error:
        if not is_missing(error):
            raise
    try:
        return await link.api(f"STREAM.CREATE.{name}", _configuration(link.address, replicas))
    except Refused as error:
        if error.code == _TAKEN:  # another process was first
            return await stream_info(link, name)
        if error.code == _OVERLAP:
            raise JournalError(
                f"another stream on NATS takes subjects below {name}.: name another journal, nats://HOST/NAME"
            ) from None
        raise NoRoom(f"the stream {name} cannot be made on NATS: {error}") from None


def _configuration(address: Address, replicas: int) -> dict[str, Any]:
    return {
        "name": address.name,
        "description": _description(new_epoch()),
        "subjects": [entries_subject(address), address.subject("k", "*", "*")],
        "allow_direct": True,
        **keeping(replicas),
    }


def _description(epoch: str) -> str:
    return f"Tickwire journal, epoch {epoch}"


async def _renamed(link: Link, configuration: dict[str, Any]) -> str:
    epoch = new_epoch()
    await link.api(f"STREAM.UPDATE.{link.address.name}", {**configuration, "description": _description(epoch)})
    return epoch
