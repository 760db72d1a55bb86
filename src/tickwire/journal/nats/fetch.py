"""Messages that are already in a stream."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
from collections.abc import Sequence
from typing import Any

from nats.aio.msg import Msg

from tickwire.errors import JournalAway
from tickwire.journal.nats.link import Link

_TRIES = 3
_PATIENCE = 2.0  # seconds without a message that is known to be there
_NANOSECONDS = 10**9

log = logging.getLogger("tickwire.journal")


async def get_message(link: Link, stream: str, wanted: dict[str, Any]) -> bytes:
    """One message: `{"seq": number}` or `{"last_by_subj": pattern}`. Refused where there is none.

    Always answered by the stream's leader, so what was acknowledged before is seen.
    """
    answer = await link.api(f"STREAM.MSG.GET.{stream}", wanted)
    return base64.b64decode(answer["message"].get("data", ""))


async def fetch(link: Link, stream: str, first: int, count: int, *, subject: str = "") -> Sequence[bytes]:
    """`count` messages that are known to be there, from the sequence number `first` on.

    A consumer may be silent where a server of the cluster has just died or returned, so another one is tried;
    JournalAway where that goes on.
    """
    for _ in range(_TRIES - 1):
        try:
            return await _fetched(link, stream, first, count, subject)
        except JournalAway as error:
            if not link.up:
                raise
            log.debug("%s; asking again", error)
    return await _fetched(link, stream, first, count, subject)


async def _fetched(link: Link, stream: str, first: int, count: int, subject: str) -> Sequence[bytes]:
    inbox, found, arrived = link.new_inbox(), list[bytes](), asyncio.Event()

    async def heard(message: Msg) -> None:
        if not message.headers or "Status" not in message.headers:
            found.append(message.data)
        arrived.set()

    subscription = await link.listen(inbox, heard)
    try:
        consumer = await _consumer(link, stream, first, subject)
        operation = f"{stream}.{consumer}"
        body = {"batch": count, "expires": int(_PATIENCE * _NANOSECONDS)}
        await link.publish(f"$JS.API.CONSUMER.MSG.NEXT.{operation}", json.dumps(body).encode(), reply=inbox)
        while len(found) < count:
            arrived.clear()
            await _next(arrived, link)
        await link.publish(f"$JS.API.CONSUMER.DELETE.{operation}", b"")
    finally:
        if link.up:
            await subscription.unsubscribe()
    return found


async def _next(arrived: asyncio.Event, link: Link) -> None:
    try:
        async with asyncio.timeout(_PATIENCE):
            await arrived.wait()
    except TimeoutError:
        raise JournalAway(f"NATS at {link.address.shown} stopped in the middle of history") from None


async def _consumer(link: Link, stream: str, first: int, subject: str) -> str:
    """A consumer that forgets itself, in memory on one server."""
    configuration: dict[str, Any] = {
        "deliver_policy": "by_start_sequence",
        "opt_start_seq": first,
        "ack_policy": "none",
        "replay_policy": "instant",
        "inactive_threshold": int(2 * _PATIENCE * _NANOSECONDS),
        "num_replicas": 1,
        "mem_storage": True,
    }
    if subject:
        configuration["filter_subject"] = subject
    answer = await link.api(f"CONSUMER.CREATE.{stream}", {"stream_name": stream, "config": configuration})
    name: str = answer["name"]
    return name
