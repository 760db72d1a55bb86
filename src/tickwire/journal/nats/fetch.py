"""Reads stored messages of a stream."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
from collections.abc import Sequence
from typing import Any

from nats.aio.msg import Msg

from tickwire.errors import JournalUnavailable
from tickwire.journal.nats.connection import NatsConnection
from tickwire.journal.nats.delivery import parse_delivery
from tickwire.journal.shared.log import StoredMessage

_MAX_ATTEMPTS = 3
# The longest time to wait for the next message. The message exists, so a longer silence is a failure.
_SILENCE_TIMEOUT_S = 2.0
_NS_PER_S = 10**9

log = logging.getLogger("tickwire.journal")


async def read_message(connection: NatsConnection, stream: str, selector: dict[str, Any]) -> StoredMessage:
    """Return one message of the stream. Raise JetStreamError if no message matches `selector`.

    `selector` is `{"seq": number}` or `{"last_by_subj": pattern}`. The server that is the leader of the stream answers.
    The leader has every acknowledged message, so the search misses no message.
    """
    answer = await connection.call_api(f"STREAM.MSG.GET.{stream}", selector)
    message = answer["message"]
    return StoredMessage(message["seq"], base64.b64decode(message.get("data", "")))


async def fetch_messages(
    connection: NatsConnection, stream: str, first: int, *, count: int, last: int | None = None, subject: str = ""
) -> Sequence[StoredMessage]:
    """Return at most `count` messages, starting at the message with the number `first`.

    Stop after the message with the number `last`. If `subject` is given, skip the messages with other subjects.

    The messages arrive through a JetStream consumer, an object on a NATS server. If a server of the NATS cluster has
    just died or restarted, a JetStream consumer may stop sending. So this function tries up to three JetStream
    consumers, one after another. If all three stop sending, raise JournalUnavailable.
    """
    for _ in range(_MAX_ATTEMPTS - 1):
        try:
            return await _fetch_once(connection, stream, first, count, last, subject)
        except JournalUnavailable as error:
            if not connection.is_connected:
                raise
            log.debug("%s; retrying", error)
    return await _fetch_once(connection, stream, first, count, last, subject)


async def _fetch_once(  # noqa: PLR0917  # the arguments of `fetch_messages`
    connection: NatsConnection, stream: str, first: int, count: int, last: int | None, subject: str
) -> Sequence[StoredMessage]:
    inbox, messages, arrived = connection.new_inbox(), list[StoredMessage](), asyncio.Event()
    is_complete = False

    async def on_message(message: Msg) -> None:
        nonlocal is_complete
        if not message.headers or "Status" not in message.headers:
            delivery = parse_delivery(message.reply)
            if last is None or delivery.number <= last:
                messages.append(StoredMessage(delivery.number, message.data))
            # If messages were deleted, the stream can end before `count` messages have arrived.
            has_reached_end = (last is not None and delivery.number >= last) or not delivery.pending
            is_complete = is_complete or has_reached_end or len(messages) >= count
        arrived.set()

    subscription = await connection.subscribe(inbox, on_message)
    try:
        consumer = await _create_consumer(connection, stream, first, subject)
        consumer_path = f"{stream}.{consumer}"
        try:
            body = {"batch": count, "expires": int(_SILENCE_TIMEOUT_S * _NS_PER_S)}
            request = json.dumps(body).encode()
            await connection.publish(f"$JS.API.CONSUMER.MSG.NEXT.{consumer_path}", request, reply=inbox)
            while not is_complete:
                arrived.clear()
                await _wait_for_message(arrived, connection)
        finally:
            if connection.is_connected:
                await connection.publish(f"$JS.API.CONSUMER.DELETE.{consumer_path}", b"")
    finally:
        await subscription.unsubscribe()
    return messages


async def _wait_for_message(arrived: asyncio.Event, connection: NatsConnection) -> None:
    try:
        async with asyncio.timeout(_SILENCE_TIMEOUT_S):
            await arrived.wait()
    except TimeoutError:
        raise JournalUnavailable(f"{connection.server} stopped sending the stored messages of the journal") from None


async def _create_consumer(connection: NatsConnection, stream: str, first: int, subject: str) -> str:
    """Create a JetStream consumer in the memory of one server. The server deletes the consumer after 4 idle seconds."""
    configuration: dict[str, Any] = {
        "deliver_policy": "by_start_sequence",
        "opt_start_seq": first,
        "ack_policy": "none",
        "replay_policy": "instant",
        "inactive_threshold": int(2 * _SILENCE_TIMEOUT_S * _NS_PER_S),
        "num_replicas": 1,
        "mem_storage": True,
    }
    if subject:
        configuration["filter_subject"] = subject
    answer = await connection.call_api(f"CONSUMER.CREATE.{stream}", {"stream_name": stream, "config": configuration})
    name: str = answer["name"]
    return name
