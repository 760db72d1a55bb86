"""Finds and checks the JetStream stream of a journal, or creates the stream if it does not exist.

The description of the stream says that the stream is a Tickwire journal. The description also contains the epoch, a
random name. So if a stream is lost and created again, the new stream has another epoch.
"""

from __future__ import annotations

import asyncio
import re
from typing import Any

from tickwire.core.event_id import EPOCH_ALPHABET
from tickwire.errors import JournalError
from tickwire.journal.base import new_epoch
from tickwire.journal.nats.address import NatsAddress
from tickwire.journal.nats.connection import STREAM_EXISTS_CODE, JetStreamError, NatsConnection, is_not_found

_DESCRIPTION_PATTERN = re.compile(rf"Tickwire journal, epoch ([{EPOCH_ALPHABET}]+)")
# JetStream's error code if a new stream has a subject that already belongs to another stream.
_SUBJECT_OVERLAP_CODE = 10065
# The number of attempts, and the interval between them, to find a stream that another process is creating.
_FIND_ATTEMPTS = 10
_FIND_INTERVAL_S = 0.1


class StreamNotCreated(JournalError):
    """The stream cannot be created now, for example because too few servers of the NATS cluster are up."""


def unkeyed_subject(address: NatsAddress) -> str:
    """Return the NATS subject of all messages that have no deduplication key."""
    return address.subject("e")


async def open_stream(connection: NatsConnection, replicas: int) -> str:
    """Find or create the stream. Return its epoch (see `Journal.epoch`).

    If an operator has deleted all messages of the stream, begin a new epoch.

    Raise JournalError if the stream is not a Tickwire journal, or cannot be created.
    """
    info = await _find_or_create_stream(connection, replicas)
    epoch = parse_epoch(info)
    if epoch is None:
        name = connection.address.journal_name
        raise JournalError(
            f"the stream {name} on NATS is not a Tickwire journal: choose another journal name with nats://HOST/NAME"
        )
    # If an operator has purged the stream, the last sequence number of the deleted events is unknown. So the journal
    # needs a new epoch, in which the same numbers may occur again.
    if not info["state"]["messages"] and info["state"]["last_seq"]:
        epoch = await _begin_new_epoch(connection, info["config"])
    return epoch


def stream_storage_config(replicas: int) -> dict[str, Any]:
    """Return the storage settings of a stream without limits.

    A message may be deleted only if a snapshot contains the effect of the message. JetStream cannot check this, so it
    must never delete messages by itself. Only Tickwire deletes messages. With `discard: new`, a full stream rejects new
    messages. Without this setting, a full stream would delete its oldest messages.
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


async def read_stream_info(connection: NatsConnection, name: str, subject_filter: str = "") -> dict[str, Any]:
    """Return JetStream's description of a stream.

    The description contains the number of messages on each subject that matches `subject_filter`.
    """
    return await connection.call_api(
        f"STREAM.INFO.{name}", {"subjects_filter": subject_filter} if subject_filter else None
    )


def parse_epoch(info: dict[str, Any]) -> str | None:
    """Return the epoch of a stream (see `Journal.epoch`). Return None if the stream is not a journal.

    `info` is the result of `read_stream_info`.
    """
    match = _DESCRIPTION_PATTERN.match(info["config"].get("description") or "")
    return match[1] if match else None


async def _find_or_create_stream(connection: NatsConnection, replicas: int) -> dict[str, Any]:
    name = connection.address.journal_name
    try:
        return await read_stream_info(connection, name)
    except JetStreamError as error:
        if not is_not_found(error):
            raise
    try:
        return await connection.call_api(f"STREAM.CREATE.{name}", _stream_config(connection.address, replicas))
    except JetStreamError as error:
        if error.code not in (STREAM_EXISTS_CODE, _SUBJECT_OVERLAP_CODE):
            raise StreamNotCreated(f"cannot create the stream {name} on NATS: {error}") from None
        return await _find_stream_of_other_process(connection, name)


async def _find_stream_of_other_process(connection: NatsConnection, name: str) -> dict[str, Any]:
    """Return JetStream's description of a stream that another process is creating at the same time.

    This process could not create the stream, because NATS reported that the stream exists, or that its subjects belong
    to another stream. Raise JournalError if the subjects belong to a stream with another name.
    """
    for _ in range(_FIND_ATTEMPTS):
        try:
            return await read_stream_info(connection, name)
        except JetStreamError as error:
            if not is_not_found(error):
                raise
        await asyncio.sleep(_FIND_INTERVAL_S)
    raise JournalError(
        f"another stream on NATS already uses the subjects {name}.*: choose another journal name with nats://HOST/NAME"
    )


def _stream_config(address: NatsAddress, replicas: int) -> dict[str, Any]:
    return {
        "name": address.journal_name,
        "description": _format_description(new_epoch()),
        "subjects": [unkeyed_subject(address), address.subject("k", "*", "*")],
        "allow_direct": True,
        **stream_storage_config(replicas),
    }


def _format_description(epoch: str) -> str:
    return f"Tickwire journal, epoch {epoch}"


async def end_epoch(connection: NatsConnection, epoch: str) -> None:
    """Replace the epoch `epoch` of the stream with a new epoch. Do nothing if another process has already done this.

    The stream has lost its newest messages, and would assign their event numbers to other events. Because of the new
    epoch, a reader that resumes is informed that events are missing, and receives no wrong events.
    """
    info = await read_stream_info(connection, connection.address.journal_name)
    if parse_epoch(info) == epoch:
        await _begin_new_epoch(connection, info["config"])


async def _begin_new_epoch(connection: NatsConnection, configuration: dict[str, Any]) -> str:
    epoch = new_epoch()
    await connection.call_api(
        f"STREAM.UPDATE.{connection.address.journal_name}", {**configuration, "description": _format_description(epoch)}
    )
    return epoch
