"""The connection to NATS. Other modules use this connection instead of calling the NATS client directly.

This module converts the errors of the NATS client to errors of the journal.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import nats
import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from tickwire.errors import JournalError, JournalUnavailable
from tickwire.journal.nats.address import NatsAddress

# The longest time to connect. NATS servers that start at the same time as Tickwire accept connections within this time.
CONNECT_TIMEOUT_S = 8.0
REQUEST_TIMEOUT_S = 2.0
STREAM_EXISTS_CODE = 10058
"""JetStream's error code for creating a stream that exists with another configuration."""

# The longest time to connect to one server.
_SERVER_CONNECT_TIMEOUT_S = 2
_RETRY_INTERVAL_S = 0.25
# The interval between pings. The connection counts as lost after two pings without an answer.
_PING_INTERVAL_S = 2
# The size of the client's send buffer. The buffer can contain several messages of the largest size.
_MAX_PENDING_BYTES = 16 * 2**20
# JetStream's error codes if JetStream is disabled for the account of this client, or for all accounts.
_JETSTREAM_DISABLED_CODES = (10039, 10076)
_NOT_FOUND_STATUS = 404
# A NATS cluster of version 2.9.10 lost and reordered acknowledged messages when a test suspended its servers one after
# the other. In this test, a cluster of version 2.15.1 neither lost nor reordered messages. The versions between them
# were not tested.
_MIN_SAFE_SERVER_VERSION = (2, 15)
_ELECTION_TIMEOUT_S = 5.0

log = logging.getLogger("tickwire.journal")
MessageHandler = Callable[[Msg], Awaitable[None]]


class JetStreamError(JournalError):
    """JetStream has answered with an error.

    `code` is JetStream's error code. `status` is a number like an HTTP status, for example 404.
    """

    def __init__(self, message: str, *, code: int, status: int) -> None:
        super().__init__(message)
        self.code = code
        self.status = status


class CredentialsRejected(JournalError):
    """The NATS server rejects the credentials."""


class NoResponders(JournalUnavailable):
    """No server received the request, so the request had no effect."""


class NatsSubscription:
    """A subscription to a subject."""

    def __init__(self, subscription: Subscription) -> None:
        self._subscription = subscription

    async def unsubscribe(self) -> None:
        """End the subscription, even while the connection is down.

        If the subscription did not end, the NATS client would subscribe to the subject again after a reconnect. The
        server would then keep the JetStream consumer that delivers to this subject.
        """
        # Ignore errors. The client has already removed the subscription, and the server removes all subscriptions of a
        # lost connection by itself.
        with contextlib.suppress(OSError, TimeoutError, nats.errors.Error):
            await self._subscription.unsubscribe()


class NatsConnection:
    """A connection to NATS that reconnects automatically. After each reconnect, it calls all `reconnect_callbacks`.

    If the server reports an error, such as expired credentials, the NATS client closes the connection permanently, and
    all `closed_callbacks` are called with the error.
    """

    def __init__(self, address: NatsAddress) -> None:
        self.address = address
        self.reconnect_callbacks: list[Callable[[], None]] = []
        self.closed_callbacks: list[Callable[[JournalError], None]] = []
        self.last_error: str | None = None
        self.reconnect_count = 0
        self._client = Client()
        # This event is set when there are more rejections than servers: every server has then rejected the credentials.
        self._rejected = asyncio.Event()
        self._rejection_count = 0

    @classmethod
    async def open(cls, address: NatsAddress, *, timeout_s: float = CONNECT_TIMEOUT_S) -> NatsConnection:
        """Connect to one of the NATS servers.

        Raise JournalUnavailable if no server answers in time. Raise CredentialsRejected if the servers reject the
        credentials.
        """
        connection = cls(address)
        try:
            async with asyncio.timeout(timeout_s):
                await connection._connect_unless_rejected()
        except (TimeoutError, OSError, nats.errors.Error) as error:
            await connection.close()
            reason = connection.last_error or str(error) or "no answer"
            if _is_rejection(reason):
                raise CredentialsRejected(connection._rejection_message) from None
            raise JournalUnavailable(f"cannot reach {connection.server}: {reason}") from None
        return connection

    @property
    def server(self) -> str:
        """The URLs of the NATS servers, for log and error messages."""
        return f"NATS at {self.address.display_servers}"

    @property
    def is_connected(self) -> bool:
        """Whether the connection is up. A broken connection counts as up until the NATS client detects the failure."""
        return self._client.is_connected

    @property
    def fault(self) -> str | None:
        """The reason why the connection is down, or None if it is up."""
        if self.is_connected:
            return None
        return self._rejection_message if _is_rejection(self.last_error or "") else f"{self.server} cannot be reached"

    @property
    def _rejection_message(self) -> str:
        return f"{self.server} rejects the credentials: check the user and password in the address, or --nats-creds"

    @property
    def server_version(self) -> str:
        """The version of the NATS server of the present connection, or else of the previous connection."""
        version = self._client.connected_server_version
        return f"{version.major}.{version.minor}.{version.patch}"

    @property
    def max_payload(self) -> int:
        """The largest size of a message that the server accepts, in bytes."""
        return self._client.max_payload

    def new_inbox(self) -> str:
        """Return a new subject for replies. No other connection uses this subject.

        The subject begins with the journal's name, so only clients with rights to this journal can use it.
        """
        return self._client.new_inbox()

    async def subscribe(self, subject: str, handler: MessageHandler) -> NatsSubscription:
        """Call `handler` for each message on a subject, until `unsubscribe` of the returned object is called."""
        with self._translate_errors(f"subscribe to {subject}"):
            return NatsSubscription(await self._client.subscribe(subject, cb=handler))

    async def publish(
        self, subject: str, data: bytes, *, reply: str = "", headers: dict[str, str] | None = None
    ) -> None:
        """Send a message without waiting for an answer."""
        with self._translate_errors(f"publish to {subject}"):
            await self._client.publish(subject, data, reply=reply, headers=headers)

    async def request(
        self, subject: str, data: bytes, *, headers: dict[str, str] | None = None, timeout_s: float = REQUEST_TIMEOUT_S
    ) -> Msg:
        """Send a message and return the answer."""
        with self._translate_errors(f"request {subject}"):
            return await self._client.request(subject, data, timeout=timeout_s, headers=headers)

    async def call_api(self, operation: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Send a request to JetStream's API and return the answer.

        While a NATS cluster elects a leader, no server answers. So if no answer arrives, send the request again, for up
        to 5 seconds. Raise JournalUnavailable if there is still no answer. Raise JetStreamError if the answer is an
        error.
        """
        subject, data = f"$JS.API.{operation}", json.dumps(body).encode() if body else b""
        answer = await self._retry_through_election(lambda: self.request(subject, data), JournalUnavailable)
        return self.raise_on_error(json.loads(answer.data))

    async def publish_to_stream(self, subject: str, data: bytes, *, headers: dict[str, str] | None = None) -> int:
        """Publish a message. Once the message is durable, return the number of the message in the stream.

        Raise JetStreamError if JetStream rejects the message.
        """
        answer = await self._retry_through_election(lambda: self.request(subject, data, headers=headers), NoResponders)
        sequence: int = self.raise_on_error(json.loads(answer.data or b"{}"))["seq"]
        return sequence

    def raise_on_error(self, answer: dict[str, Any]) -> dict[str, Any]:
        """Return JetStream's answer. Raise JetStreamError if the answer is an error."""
        error = answer.get("error")
        if error is None:
            return answer
        code, status = error.get("err_code", 0), error.get("code", 0)
        if code in _JETSTREAM_DISABLED_CODES:
            raise JetStreamError(self._no_jetstream_message(), code=code, status=status)
        raise JetStreamError(error.get("description", "JetStream rejects the request"), code=code, status=status)

    async def close(self) -> None:
        """Send pending messages and disconnect. A second call does nothing."""
        self.closed_callbacks.clear()
        with contextlib.suppress(OSError, asyncio.TimeoutError, nats.errors.Error):
            if self._client.is_connected:
                await self._client.flush(1)
        # Ignore these errors. The client raises OSError if messages are pending and the server is unreachable. On
        # Python 3.12.1, a write to a closed connection raises TypeError instead, and uvloop raises RuntimeError.
        with contextlib.suppress(OSError, TypeError, RuntimeError):
            await self._client.close()

    async def _retry_through_election(
        self, send_request: Callable[[], Awaitable[Msg]], retry_on: type[JournalUnavailable]
    ) -> Msg:
        """Send a request. After each error of type `retry_on`, send the request again.

        After 5 seconds (the longest time of a leader election), raise the error instead.
        """
        deadline = asyncio.get_running_loop().time() + _ELECTION_TIMEOUT_S
        while True:
            if not self.is_connected:
                raise JournalUnavailable(f"{self.server} cannot be reached: {self.last_error}")
            try:
                return await send_request()
            except retry_on:
                if asyncio.get_running_loop().time() > deadline:
                    raise
                await asyncio.sleep(_RETRY_INTERVAL_S)

    def warn_of_old_server(self) -> None:
        """Log a warning if the server is too old for a cluster with several copies of the journal."""
        version = self._client.connected_server_version
        if (version.major, version.minor) < _MIN_SAFE_SERVER_VERSION:
            log.warning(
                "%s has version %s, but a NATS cluster with a version before %d.%d can lose or reorder events after a "
                "failure: upgrade nats-server",
                self.server, self.server_version, *_MIN_SAFE_SERVER_VERSION,
            )  # fmt: skip

    async def _connect_unless_rejected(self) -> None:
        """Connect. If all servers have rejected the credentials, raise an error instead of sending the credentials
        again."""
        connecting = asyncio.ensure_future(self._connect())
        rejected = asyncio.ensure_future(self._rejected.wait())
        try:
            await asyncio.wait((connecting, rejected), return_when=asyncio.FIRST_COMPLETED)
            if rejected.done():
                raise nats.errors.AuthorizationError
            await connecting
        finally:
            rejected.cancel()
            connecting.cancel()
            await asyncio.gather(connecting, rejected, return_exceptions=True)

    async def _connect(self) -> None:
        await self._client.connect(
            servers=list(self.address.servers),
            name=f"tickwire {self.address.journal_name}",
            inbox_prefix=self.address.inbox_prefix,
            error_cb=self._on_error,
            disconnected_cb=self._on_disconnect,
            closed_cb=self._on_close,
            reconnected_cb=self._on_reconnect,
            connect_timeout=_SERVER_CONNECT_TIMEOUT_S,
            reconnect_time_wait=_RETRY_INTERVAL_S,  # type: ignore[arg-type]  # the client accepts fractions of seconds
            max_reconnect_attempts=-1,
            ping_interval=_PING_INTERVAL_S,
            max_outstanding_pings=2,
            pending_size=_MAX_PENDING_BYTES,
            **self.address.credentials.client_options(),
        )
        self.last_error = None

    async def _on_error(self, error: Exception) -> None:
        # A server that rejects the credentials sends an error, and then closes the connection. Store the error, because
        # the end of the connection reports no reason.
        is_closed = isinstance(error, ConnectionResetError | nats.errors.UnexpectedEOF)
        if is_closed and self.last_error is not None:
            return
        self.last_error = str(error) or type(error).__name__
        log.debug("NATS: %s", self.last_error)
        self._rejection_count += _is_rejection(self.last_error)
        if self._rejection_count > len(self.address.servers):
            self._rejected.set()

    async def _on_disconnect(self) -> None:
        if self._client.is_closed:
            return
        self.last_error = self.last_error or "the connection is lost"
        log.warning("lost the connection to %s; reconnecting", self.server)

    async def _on_close(self) -> None:
        error = JournalError(
            f"{self.server} has closed the connection ({self._client.last_error}): this process must be restarted"
        )
        for callback in self.closed_callbacks:
            log.error("%s", error)
            callback(error)

    async def _on_reconnect(self) -> None:
        self.last_error = None
        self.reconnect_count += 1
        log.info("reconnected to %s", self.server)
        for callback in self.reconnect_callbacks:
            callback()

    @contextlib.contextmanager
    def _translate_errors(self, action: str) -> Iterator[None]:
        task = asyncio.current_task()
        cancellations = 0 if task is None else task.cancelling()
        try:
            yield
        except nats.errors.NoRespondersError:
            raise NoResponders(self._no_jetstream_message()) from None
        except (TimeoutError, OSError, nats.errors.Error) as error:
            reason = str(error) or type(error).__name__
            raise JournalUnavailable(f"{self.server}: cannot {action}: {reason}") from None
        finally:
            # Raise the CancelledError again, because the NATS client suppresses it if the answer arrives at the moment
            # of the cancellation.
            if task is not None and task.cancelling() > cancellations:
                raise asyncio.CancelledError

    def _no_jetstream_message(self) -> str:
        servers = self.address.display_servers
        return f"no JetStream at {servers}: start nats-server with -js (in a cluster, wait for a leader)"


def _is_rejection(reason: str) -> bool:
    """Return True if an error of the NATS client means that the server rejects the credentials."""
    return "authorization" in reason.lower() or "authentication" in reason.lower()


def is_not_found(error: JetStreamError) -> bool:
    """Return True if the requested stream, consumer or message does not exist."""
    return error.status == _NOT_FOUND_STATUS
