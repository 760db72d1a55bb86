"""Reads a JetStream stream. Delivers each new message exactly once and in order, even if servers or connections fail.

The NATS server pushes the messages of the stream to this process. For this purpose, the server keeps a JetStream
consumer, an object in its memory that contains the position in the stream. This process replaces the JetStream consumer
if the message numbers have a gap, if a heartbeat is missing, or if the connection was lost. The new JetStream consumer
starts after the last delivered message.

The JetStream consumers of one process have the same name, and the process deletes the old JetStream consumer before it
creates the new one. So a process never has two JetStream consumers, even if the server's answer to a creation is lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from typing import Any

from nats.aio.msg import Msg

from tickwire.core.trace_context import Traceparents
from tickwire.errors import JournalError, JournalUnavailable
from tickwire.journal.nats.connection import JetStreamError, NatsConnection, is_not_found
from tickwire.journal.nats.delivery import is_flow_control, parse_delivery
from tickwire.journal.nats.message_headers import traceparents_from_headers
from tickwire.journal.nats.stream import end_epoch, parse_epoch, read_stream_info
from tickwire.journal.shared.log import LogLost, LogRolledBack, MessageCallback

# The interval between heartbeats, which the server sends while there are no messages.
HEARTBEAT_INTERVAL_S = 0.4
# After this time without a message or heartbeat, the JetStream consumer counts as lost. The NATS client alone would
# detect the loss only after 20 s.
SILENCE_TIMEOUT_S = 1.0
# The process checks for silence this many times per SILENCE_TIMEOUT_S, at equal intervals.
_SILENCE_CHECKS = 4
# The pause before the next JetStream consumer doubles while no JetStream consumer delivers anything. With the longest
# pause, a process sends about three requests every two seconds to a failing NATS cluster.
_MIN_RETRY_INTERVAL_S, _MAX_RETRY_INTERVAL_S = 0.2, 2.0
# If a stream seems to be missing, the request is repeated for this time. The reason: a NATS server that has just become
# the leader may not know every stream yet.
_MISSING_STREAM_GRACE_S = 1.0
# If newer messages seem to be missing, the request is repeated for this time. The reason: a NATS server that has just
# become the leader may not have applied all messages yet.
_SHORT_STREAM_GRACE_S = 5.0
# The server deletes the JetStream consumer after this time without a subscriber, for example after this process died.
_INACTIVE_TIMEOUT_S = 5.0
_NS_PER_S = 10**9
# The headers of a heartbeat: the number of deliveries so far, and the number of the last delivered message.
_HEARTBEAT_COUNTS = ("Nats-Last-Consumer", "Nats-Last-Stream")

log = logging.getLogger("tickwire.journal")


class StreamConsumer:
    """A LogConsumer that reads messages from a JetStream stream.

    The consumer calls `deliver(number, data, traceparents)` for every message after the message with the number
    `position`.
    """

    def __init__(self, connection: NatsConnection, epoch: str, position: int, deliver: MessageCallback) -> None:
        self.position = position
        self.stall_reason: str | None = None
        self._connection = connection
        self._epoch = epoch
        self._deliver = deliver
        self._name = f"tickwire-{secrets.token_hex(8)}"
        # The subject to which the current JetStream consumer delivers.
        self._inbox = ""
        # The number of the stream's newest message at the time when the current JetStream consumer was created.
        self._catch_up_target = 0
        # The number that the server will assign to the next delivery of the current JetStream consumer.
        self._next_delivery = 0
        # The number of the message after which a gap was found, or -1. If the next JetStream consumer finds the same
        # gap, the missing messages were deleted, and delivery continues after the gap.
        self._hole_at = -1
        # The number of checks since the last message or heartbeat.
        self._silent_checks = 0
        self._retry_interval_s = _MIN_RETRY_INTERVAL_S
        self._fatal_error: LogLost | None = None
        self._restart_needed = asyncio.Event()
        self._caught_up_once = asyncio.Event()
        self._receiving = asyncio.Event()
        self._receiving.set()
        connection.reconnect_callbacks.append(self._restart_needed.set)

    async def wait_until_caught_up(self) -> None:
        """Wait until every message that the stream contained at the start has been delivered."""
        await self._caught_up_once.wait()

    async def wait_until_receiving(self) -> None:
        """Wait until this process receives messages again (`stall_reason` is None)."""
        await self._receiving.wait()

    async def run(self) -> None:
        """Deliver messages until cancelled. Raise LogLost if the stream was deleted or replaced."""
        try:
            while True:
                try:
                    await self._run_consumer_or_end_epoch()
                except LogLost:
                    raise
                except JournalError as error:
                    self._set_stall_reason(str(error))
                await asyncio.sleep(self._retry_interval_s)
                self._retry_interval_s = min(2 * self._retry_interval_s, _MAX_RETRY_INTERVAL_S)
        finally:
            if self._connection.is_connected:
                with contextlib.suppress(JournalError):
                    await self._connection.publish(f"$JS.API.{self._api_operation('DELETE')}", b"")

    async def _run_consumer_or_end_epoch(self) -> None:
        try:
            await self._run_consumer()
        except LogRolledBack as error:
            log.error("%s", error)
            await end_epoch(self._connection, self._epoch)
            raise

    async def _run_consumer(self) -> None:
        """Create a JetStream consumer, and deliver its messages until the JetStream consumer must be replaced."""
        self._restart_needed.clear()
        self._catch_up_target = await self._read_last_sequence()
        await self._delete_consumer()
        inbox = self._inbox = self._connection.new_inbox()

        async def on_message(message: Msg) -> None:
            # Ignore a message that arrives after its JetStream consumer was replaced.
            if inbox == self._inbox:
                await self._on_message(message)

        subscription = await self._connection.subscribe(inbox, on_message)
        try:
            await self._create_consumer()
            await self._wait_until_broken()
            if self._fatal_error is not None:
                raise self._fatal_error
        finally:
            await subscription.unsubscribe()

    async def _read_last_sequence(self) -> int:
        """Return the number of the newest message. Raise LogLost if the stream was replaced or has lost messages.

        A server that has just become the leader may know only older messages for a moment. So if the newest message is
        older than the last delivered message, repeat the request for a few seconds.
        """
        name, loop = self._connection.address.journal_name, asyncio.get_running_loop()
        deadline = loop.time() + _SHORT_STREAM_GRACE_S
        while True:
            info = await self._read_stream_info()
            state = info["state"]
            if parse_epoch(info) != self._epoch:
                raise LogLost(f"the stream {name} on NATS was replaced: restart this server to read the new stream")
            if state["messages"] and state["first_seq"] > self.position + 1:
                raise LogLost(
                    f"the stream {name} on NATS no longer contains the message that this server reads next: restart "
                    "this server"
                )
            if state["last_seq"] >= self.position:
                last: int = state["last_seq"]
                return last
            self._set_stall_reason(
                f"the stream on {self._connection.server} ends before the newest message that this server has read"
            )
            if loop.time() > deadline:
                raise LogRolledBack(
                    f"the stream {name} on NATS has lost messages: it ends at message {state['last_seq']}, but this "
                    f"server has read message {self.position}; restart this server to continue with a new epoch"
                )
            await asyncio.sleep(_MIN_RETRY_INTERVAL_S)

    async def _read_stream_info(self) -> dict[str, Any]:
        """Return JetStream's description of the stream.

        If JetStream does not find the stream, repeat the request for one second, then raise LogLost.
        """
        name, loop = self._connection.address.journal_name, asyncio.get_running_loop()
        deadline = loop.time() + _MISSING_STREAM_GRACE_S
        while True:
            try:
                return await read_stream_info(self._connection, name)
            except JetStreamError as error:
                if not is_not_found(error):
                    raise
                if loop.time() > deadline:
                    raise LogLost(
                        f"the stream {name} no longer exists on NATS, so its history is lost: restart this server"
                    ) from None
                await asyncio.sleep(_MIN_RETRY_INTERVAL_S)

    async def _delete_consumer(self) -> None:
        try:
            await self._connection.call_api(self._api_operation("DELETE"))
        except JetStreamError as error:
            if not is_not_found(error):
                raise

    async def _create_consumer(self) -> None:
        name = self._connection.address.journal_name
        configuration: dict[str, Any] = {
            "name": self._name,
            "deliver_policy": "by_start_sequence",
            "opt_start_seq": self.position + 1,
            "deliver_subject": self._inbox,
            "ack_policy": "none",
            "replay_policy": "instant",
            "max_deliver": 1,
            "idle_heartbeat": int(HEARTBEAT_INTERVAL_S * _NS_PER_S),
            "flow_control": True,
            "inactive_threshold": int(_INACTIVE_TIMEOUT_S * _NS_PER_S),
            "num_replicas": 1,
            "mem_storage": True,
        }
        self._next_delivery = 1
        self._silent_checks = 0
        body = {"stream_name": name, "config": configuration}
        await self._connection.call_api(self._api_operation("CREATE"), body)
        self._clear_stall_if_caught_up()

    def _api_operation(self, action: str) -> str:
        return f"CONSUMER.{action}.{self._connection.address.journal_name}.{self._name}"

    async def _wait_until_broken(self) -> None:
        """Wait until the JetStream consumer must be replaced.

        The reason may be a missing message, a message that cannot be applied, a silent server, or a reconnect of the
        client.

        To detect silence, count checks instead of comparing times. If the event loop of this process was blocked for
        some seconds, the process reads the waiting messages before the next check. So a blocked event loop does not
        count as silence of the server.
        """
        while not self._restart_needed.is_set() and self._silent_checks <= _SILENCE_CHECKS:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SILENCE_TIMEOUT_S / _SILENCE_CHECKS):
                    await self._restart_needed.wait()
            self._silent_checks += 1
        if not self._restart_needed.is_set():
            self._set_stall_reason(f"{self._connection.server} is silent")

    async def _on_message(self, message: Msg) -> None:
        if message.headers is not None and "Status" in message.headers:
            await self._on_status_message(message, message.headers)
        else:
            self._deliver_in_order(message)

    def _deliver_in_order(self, message: Msg) -> None:
        try:
            delivery = parse_delivery(message.reply)
        except JournalUnavailable as error:
            log.warning("%s", error)
            return
        self._silent_checks = 0
        has_hole = delivery.number != self.position + 1
        if has_hole and self._hole_at != self.position:
            # Messages are missing. If retention has deleted the oldest messages, the restart raises LogLost. If an
            # operator has deleted single messages, the next JetStream consumer continues after the gap.
            self._hole_at = self.position
            self._restart_needed.set()
        if self._restart_needed.is_set() or delivery.delivery != self._next_delivery:
            # Create a new JetStream consumer, which will deliver the missing message.
            self._restart_needed.set()
            return
        self._next_delivery += 1
        self._retry_interval_s = _MIN_RETRY_INTERVAL_S
        self._deliver_or_fail(delivery.number, message.data, traceparents_from_headers(message.headers))

    def _deliver_or_fail(self, number: int, data: bytes, traceparents: Traceparents = ()) -> None:
        try:
            self._deliver(number, data, traceparents)
            self.position = number
            self._clear_stall_if_caught_up()
        except JournalError as error:
            # Do not raise the error here, because the NATS client would only log the error and continue with the next
            # message.
            self._fatal_error = LogLost(str(error))
            self._restart_needed.set()

    async def _on_status_message(self, message: Msg, headers: dict[str, str]) -> None:
        self._silent_checks = 0
        # A flow-control message requires an answer. If the answer is lost, the next heartbeat contains the request
        # again.
        reply = message.reply or headers.get("Nats-Consumer-Stalled") or ""
        if is_flow_control(reply):
            await self._connection.publish(reply, b"")
        last_delivery, last_number = (_parse_count(headers.get(name)) for name in _HEARTBEAT_COUNTS)
        if last_delivery >= self._next_delivery:
            # Create a new JetStream consumer, because the server has sent messages that have not arrived at this
            # process.
            self._restart_needed.set()
        elif last_delivery == self._next_delivery - 1 and last_number > self.position:
            # An operator has deleted the newest messages of the stream. Their numbers remain in use, so deliver empty
            # messages in their place.
            for number in range(self.position + 1, last_number + 1):
                self._deliver_or_fail(number, b"")

    def _clear_stall_if_caught_up(self) -> None:
        if self.position >= self._catch_up_target:
            self._caught_up_once.set()
            if self.stall_reason is not None:
                self._set_stall_reason(None)

    def _set_stall_reason(self, reason: str | None) -> None:
        if reason is not None and self.stall_reason is None:
            log.warning("the journal receives no events: %s", reason)
        elif reason is None and self.stall_reason is not None:
            log.info("the journal receives events again")
        self.stall_reason = reason
        if reason is None:
            self._receiving.set()
        else:
            self._receiving.clear()


def _parse_count(text: str | None) -> int:
    """Return the number that a header contains, or -1 if the header is missing or invalid."""
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 19 else -1
