"""What comes newly into the stream, each message once and in order, whatever happens to servers and connections.

The server pushes through a consumer that lives in memory. A number that is missing, a heartbeat that stays away or a
connection that came back: each time the consumer is thrown away and another begins after the last message taken.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from nats.aio.msg import Msg

from tickwire.errors import JournalError
from tickwire.journal.nats.link import Link, Refused, is_missing
from tickwire.journal.nats.stream import epoch_of, stream_info

BEAT_SECONDS = 0.4  # between signs of life from the server while nothing happens
SILENCE_SECONDS = 1.0  # without any: the consumer is taken for gone (the client's own way would wait 20 s)
_RETRY_SECONDS = 0.2
_SURE_SECONDS = 1.0  # a server that has just become leader may not know of every stream yet
_NANOSECONDS = 10**9
_SHORT, _DOMAIN = 9, 2  # tokens in the subject of an acknowledgement; newer servers put two more in the middle

log = logging.getLogger("tickwire.journal")


class Lost(JournalError):
    """The stream is gone, or is another one; what this process knows does not belong to it."""


class Inflow:
    """Calls `deliver(sequence, data)` for every message after `position`, on the loop; its JournalError ends all."""

    def __init__(self, link: Link, epoch: str, position: int, deliver: Callable[[int, bytes], None]) -> None:
        self.position = position
        self.fault: str | None = None
        self._link = link
        self._epoch = epoch
        self._deliver = deliver
        self._restarts = 0
        self._goal = 0  # the newest message when this consumer began
        self._due = 0  # the consumer's number of its next message
        self._heard = 0.0
        self._wrong: Lost | None = None  # a message that cannot be one of ours
        self._broken = asyncio.Event()
        self._started = asyncio.Event()
        link.on_return.append(self._broken.set)

    @property
    def restarts(self) -> int:
        """How often another consumer was needed."""
        return max(0, self._restarts - 1)

    async def started(self) -> None:
        """Return once the first consumer is there."""
        await self._started.wait()

    async def run(self) -> None:
        """Never returns; Lost where the stream is not the same any more."""
        while True:
            try:
                await self._once()
            except Lost:
                raise
            except JournalError as error:
                self._say(str(error))
                await asyncio.sleep(_RETRY_SECONDS)

    async def _once(self) -> None:
        """One consumer's life."""
        self._broken.clear()
        self._goal = await self._last_message()
        inbox = self._link.new_inbox()
        subscription = await self._link.listen(inbox, self._take)
        try:
            await self._subscribe(inbox)
            await self._watch()
            if self._wrong is not None:
                raise self._wrong
        finally:
            if self._link.up:
                await subscription.unsubscribe()

    async def _last_message(self) -> int:
        """The number of the stream's newest message; Lost where it is not the stream that was read."""
        name = self._link.address.name
        info = await self._surely_there()
        if epoch_of(info) != self._epoch or info["state"]["last_seq"] < self.position:
            raise Lost(f"the stream {name} on NATS is not the one this process has read: its history was replaced")
        last: int = info["state"]["last_seq"]
        return last

    async def _surely_there(self) -> dict[str, Any]:
        """What JetStream says of the stream; Lost where it goes on saying that there is none."""
        name, loop = self._link.address.name, asyncio.get_running_loop()
        end = loop.time() + _SURE_SECONDS
        while True:
            try:
                return await stream_info(self._link, name)
            except Refused as error:
                if not is_missing(error):
                    raise
                if loop.time() > end:
                    raise Lost(f"the stream {name} is gone from NATS: its history is lost") from None
                await asyncio.sleep(_RETRY_SECONDS)

    async def _subscribe(self, inbox: str) -> None:
        name = self._link.address.name
        configuration: dict[str, Any] = {
            "deliver_policy": "by_start_sequence",
            "opt_start_seq": self.position + 1,
            "deliver_subject": inbox,
            "ack_policy": "none",
            "replay_policy": "instant",
            "max_deliver": 1,
            "idle_heartbeat": int(BEAT_SECONDS * _NANOSECONDS),
            "flow_control": True,
            "num_replicas": 1,
            "mem_storage": True,
        }
        self._due = 1
        self._heard = asyncio.get_running_loop().time()
        await self._link.api(f"CONSUMER.CREATE.{name}", {"stream_name": name, "config": configuration})
        self._restarts += 1
        self._started.set()
        self._caught_up()

    async def _watch(self) -> None:
        """Return when the consumer is no use any more."""
        loop = asyncio.get_running_loop()
        while not self._broken.is_set() and loop.time() - self._heard < SILENCE_SECONDS:
            try:
                async with asyncio.timeout(SILENCE_SECONDS / 4):
                    await self._broken.wait()
            except TimeoutError:
                continue
        if not self._broken.is_set():
            self._say(f"NATS at {self._link.address.shown} is silent")

    async def _take(self, message: Msg) -> None:
        self._heard = asyncio.get_running_loop().time()
        if message.headers is not None and "Status" in message.headers:
            await self._answer(message)
        else:
            self._number(message)

    def _number(self, message: Msg) -> None:
        tokens = message.reply.split(".")
        place = 5 if len(tokens) == _SHORT else 5 + _DOMAIN
        sequence, due = int(tokens[place]), int(tokens[place + 1])
        if self._broken.is_set() or due != self._due:
            self._broken.set()  # something between was lost on the way: read it again
            return
        self._due += 1
        try:
            self._deliver(sequence, message.data)
            self.position = sequence
            if self.fault is not None:
                self._caught_up()
        except JournalError as error:  # raised here, it would be the client's, who goes on
            self._wrong = Lost(str(error))
            self._broken.set()

    async def _answer(self, message: Msg) -> None:
        """Flow control asks for an answer; a heartbeat may say that the server still waits for one."""
        stalled = message.headers.get("Nats-Consumer-Stalled") if message.headers else None
        reply = message.reply or stalled
        if reply:
            await self._link.publish(reply, b"")
        behind = message.headers.get("Nats-Last-Consumer") if message.headers else None
        if behind is not None and int(behind) >= self._due:
            self._broken.set()  # the server has sent more than came here

    def _caught_up(self) -> None:
        """It stands still no longer once what came meanwhile has been read."""
        if self.position >= self._goal:
            self._say(None)

    def _say(self, fault: str | None) -> None:
        if fault is not None and self.fault is None:
            log.warning("the journal stands still: %s", fault)
        elif fault is None and self.fault is not None:
            log.info("the journal goes on")
        self.fault = fault
