"""The connection to NATS: the one place that calls its client, and where its errors become ours."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import nats
import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from tickwire.errors import JournalAway, JournalError
from tickwire.journal.nats.address import Address

CONNECT_SECONDS = 8.0  # at the start: long enough for a cluster that comes up at the same time
CALL_SECONDS = 2.0
_TRY_SECONDS = 2  # for one server to answer
_RETRY_SECONDS = 0.25
_PING_SECONDS = 2  # between pings; two without an answer, and the connection is taken for dead
_PENDING_BYTES = 16 * 2**20  # the client's own buffer: some of the largest messages
_NOT_ENABLED = (10039, 10076)  # JetStream's codes: not for this account, not at all
_NOT_FOUND = 404
_ELECTION_SECONDS = 5.0

log = logging.getLogger("tickwire.journal")
Heard = Callable[[Msg], Awaitable[None]]


class Refused(JournalError):
    """JetStream answered with an error. `code` is its own number for it, `status` that of HTTP."""

    def __init__(self, message: str, *, code: int, status: int) -> None:
        super().__init__(message)
        self.code = code
        self.status = status


class Unanswered(JournalAway):
    """Nobody takes what is asked: it was not done."""


class Link:
    """One connection, which mends itself. `on_return` are called whenever it is there again."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self.on_return: list[Callable[[], None]] = []
        self.fault: str | None = None
        self._client = Client()

    @classmethod
    async def open(cls, address: Address, *, seconds: float = CONNECT_SECONDS) -> Link:
        """Connect; JournalError where nobody answers in time, or not to us."""
        link = cls(address)
        try:
            async with asyncio.timeout(seconds):
                await link._connect()
        except (TimeoutError, OSError, nats.errors.Error) as error:
            await link.close()
            why = link.fault or str(error) or "no answer"
            raise JournalError(f"cannot reach NATS at {address.shown}: {why}") from None
        return link

    @property
    def up(self) -> bool:
        """Whether it is there now, as far as known."""
        return self._client.is_connected

    @property
    def max_payload(self) -> int:
        """Bytes that a message may have."""
        return self._client.max_payload

    def new_inbox(self) -> str:
        """A subject that nobody else uses."""
        return self._client.new_inbox()

    async def listen(self, subject: str, heard: Heard, *, group: str = "") -> Any:
        """Hear what is published there, until the answer's `unsubscribe` is called."""
        with self._mapped(f"listening to {subject}"):
            return await self._client.subscribe(subject, queue=group, cb=heard)

    async def publish(
        self, subject: str, data: bytes, *, reply: str = "", headers: dict[str, str] | None = None
    ) -> None:
        """Send, without waiting for anything."""
        with self._mapped(f"publishing to {subject}"):
            await self._client.publish(subject, data, reply=reply, headers=headers)

    async def request(
        self, subject: str, data: bytes, *, headers: dict[str, str] | None = None, seconds: float = CALL_SECONDS
    ) -> Msg:
        """Send, and wait for the one answer."""
        with self._mapped(f"asking {subject}"):
            return await self._client.request(subject, data, timeout=seconds, headers=headers)

    async def api(self, operation: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Call JetStream's API; Refused where it says no, JournalAway where nobody answers.

        A cluster may be choosing a leader just now: it is asked again for a while.
        """
        subject, data = f"$JS.API.{operation}", json.dumps(body).encode() if body else b""
        answer = await self._patiently(lambda: self.request(subject, data), JournalAway)
        return self.checked(json.loads(answer.data))

    async def stored(self, subject: str, data: bytes, *, headers: dict[str, str] | None = None) -> int:
        """Publish to a stream; its number of the message, once it is durable. Refused where it is not taken."""
        answer = await self._patiently(lambda: self.request(subject, data, headers=headers), Unanswered)
        number: int = self.checked(json.loads(answer.data or b"{}"))["seq"]
        return number

    def checked(self, answer: dict[str, Any]) -> dict[str, Any]:
        """JetStream's answer, if it is none of an error."""
        error = answer.get("error")
        if error is None:
            return answer
        code, status = error.get("err_code", 0), error.get("code", 0)
        if code in _NOT_ENABLED:
            raise Refused(self._without_jetstream(), code=code, status=status)
        raise Refused(error.get("description", "JetStream refuses"), code=code, status=status)

    async def _patiently(self, ask: Callable[[], Awaitable[Msg]], again: type[JournalAway]) -> Msg:
        """Ask once more after an error of the kind `again`, while that may pass by itself."""
        end = asyncio.get_running_loop().time() + _ELECTION_SECONDS
        while True:
            if not self.up:
                raise JournalAway(f"NATS at {self.address.shown} cannot be reached: {self.fault}")
            try:
                return await ask()
            except again:
                if asyncio.get_running_loop().time() > end:
                    raise
                await asyncio.sleep(_RETRY_SECONDS)

    async def close(self) -> None:
        """Send what is pending, and leave. A second call does nothing."""
        with contextlib.suppress(OSError, asyncio.TimeoutError, nats.errors.Error):
            if self._client.is_connected:
                await self._client.flush(1)
        with contextlib.suppress(OSError):  # there is something to send, and nobody to send it to
            await self._client.close()

    async def _connect(self) -> None:
        await self._client.connect(
            servers=list(self.address.servers),
            name=f"tickwire {self.address.name}",
            error_cb=self._failed,
            disconnected_cb=self._gone,
            reconnected_cb=self._back,
            connect_timeout=_TRY_SECONDS,
            reconnect_time_wait=_RETRY_SECONDS,  # type: ignore[arg-type]  # any number of seconds will do
            max_reconnect_attempts=-1,
            ping_interval=_PING_SECONDS,
            max_outstanding_pings=2,
            pending_size=_PENDING_BYTES,
            **self.address.credentials.options(),
        )
        self.fault = None

    async def _failed(self, error: Exception) -> None:
        if isinstance(error, ConnectionResetError) and self.fault is not None:
            return  # who does not let us in says so and closes: the first of the two is the reason
        self.fault = str(error) or type(error).__name__
        log.debug("NATS: %s", self.fault)

    async def _gone(self) -> None:
        if self._client.is_closed:
            return
        self.fault = self.fault or "the connection is lost"
        log.warning("the connection to NATS at %s is lost; trying again", self.address.shown)

    async def _back(self) -> None:
        self.fault = None
        log.info("connected to NATS again")
        for call in self.on_return:
            call()

    @contextlib.contextmanager
    def _mapped(self, doing: str) -> Any:
        try:
            yield
        except nats.errors.NoRespondersError:
            raise Unanswered(self._without_jetstream()) from None
        except (TimeoutError, OSError, nats.errors.Error) as error:
            why = str(error) or type(error).__name__
            raise JournalAway(f"NATS at {self.address.shown}: {doing}: {why}") from None

    def _without_jetstream(self) -> str:
        where = self.address.shown
        return f"nobody answers for JetStream at {where}: start nats-server with -js (for a cluster, wait for a leader)"


def is_missing(error: Refused) -> bool:
    """Whether the error says that the thing does not exist."""
    return error.status == _NOT_FOUND
