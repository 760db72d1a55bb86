"""One connected client."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from tickwire.core.close_reasons import CloseReason
from tickwire.core.codec import encode_json
from tickwire.core.event_kinds import StreamEvent
from tickwire.hub.fanout.encoder import EncodedBlock, Encoder
from tickwire.hub.fanout.reader_state import READER_TRANSITIONS, ImpossibleTransition, ReaderState
from tickwire.hub.fanout.sink import Sink
from tickwire.sessions.rights import UNRESTRICTED_RIGHTS, Rights
from tickwire.sessions.subscription import Subscription
from tickwire.sse.frame import encode_frame

log = logging.getLogger(__name__)

# The reconnect delay, in milliseconds, that the server sends to a client after an error, at a limit, or after an
# eviction.
RECONNECT_DELAY_MS = 5_000

# The number of catch-up steps that one reader performs before other tasks run. These steps take a few milliseconds.
_STEPS_PER_TURN = 16


class ReaderGroup(Protocol):
    """A group of readers to which the server sends the same frames."""

    def leave(self, reader: Reader) -> None:
        """Stop writing the frames of the group to the reader."""
        ...

    def count_stall(self) -> None:
        """Count one stall: the sink (the send buffer) of a reader became full."""
        ...


class ReaderOwner(Protocol):
    """Sends events to a reader while the reader is not in its channel. See `Reader.rest`."""

    def resume(self, reader: Reader) -> None:
        """Schedule the next work for a reader that has left its channel, or whose stream is ending."""
        ...


class ReaderIdentity(NamedTuple):
    """The identity of a stream: its client id, its rights, and the time when the client connected.

    If `client_chosen` is True, the client chose the id and will reconnect with the same id. `connected_at_us` is in
    microseconds since the Unix epoch. `bearer` is the user, token or network address whose limits apply to the stream,
    or None if no limits apply.
    """

    client_id: str
    client_chosen: bool = False
    rights: Rights = UNRESTRICTED_RIGHTS
    connected_at_us: int = 0
    bearer: str | None = None

    @property
    def user_address(self) -> str | None:
        """The address by which an event reaches all streams of the same user, or None if the stream has no user."""
        return self.rights.user_target

    @property
    def addresses(self) -> tuple[str, ...]:
        """The addresses by which an event can reach this stream: the client id, and the address of the user."""
        user = self.user_address
        return (self.client_id,) if user is None else (self.client_id, user)


class Reader:
    """One connected client: its state, its position, and the sink for its bytes.

    `position` is the sequence number up to which the reader has received everything that it requested.
    `candle_position` is the sequence number up to which the reader's open candles are current. While the state is LIVE,
    neither field is updated. Both fields are set again when the reader leaves its channel.

    `start_position` is the position after which the stream resumed. If the stream did not resume, or had a gap later,
    `start_position` is the position of the hub when the stream opened or last had a gap. A snapshot describes the state
    at `start_position`, and the reader receives the messages after `start_position`.

    `requested` is the subscription in the request. After a change of the subscription, `pending_rows` are the board
    rows (one per symbol) that the change added and whose quotes the reader has not received. If `pending_rows` is None,
    no change is in progress.

    `known_unreadable` is the sequence number of the newest unreadable event that was reported to the reader.

    If the token of the reader requires an interval, `quotes_due_at` is the earliest time of the reader's next quotes,
    in monotonic seconds, or 0 if the time is not known yet. The reader waits for this time while `is_held` is True.

    `close_reason` is None until the stream is ending. `on_end` is called when the server writes no more frames.
    """

    __slots__ = (
        "_group",
        "_owner",
        "_steps",
        "_wakeup",
        "candle_position",
        "channel_skipped_at_join",
        "close_reason",
        "conflated_quotes",
        "eligible_quotes_at_leave",
        "encoder",
        "expiry_warning_sent",
        "gaps",
        "identity",
        "is_held",
        "known_unreadable",
        "lifetime_ends_at",
        "on_end",
        "pending_rows",
        "position",
        "quotes_due_at",
        "quotes_sent_since_leave",
        "requested",
        "sink",
        "stalls",
        "start_position",
        "state",
    )

    def __init__(
        self,
        group: ReaderGroup,
        identity: ReaderIdentity,
        sink: Sink,
        *,
        requested: Subscription,
        encoder: Encoder,
        position: int,
        needs_snapshot: bool,
    ) -> None:
        self.identity = identity
        self.sink = sink
        self.requested = requested
        self.encoder = encoder
        self.state = ReaderState.SNAPSHOT if needs_snapshot else ReaderState.CATCHING_UP
        self.close_reason: CloseReason | None = None
        self.position = position
        self.start_position = position
        self.candle_position = 0
        # Several readers whose subscriptions changed together share this array, so no code may modify the array.
        self.pending_rows: NDArray[np.intp] | None = None
        # The end of the reader's lifetime, in monotonic seconds; 0 until it is set.
        self.lifetime_ends_at = 0.0
        self.known_unreadable = 0
        self.quotes_due_at = 0.0
        self.is_held = False
        self.expiry_warning_sent = False
        self.stalls = 0
        self.gaps = 0
        # The number of quotes that were not sent to this reader because a newer quote replaced them.
        self.conflated_quotes = 0
        # The result that the channel's `count_eligible_quotes` had when the reader stopped being live. None for a
        # reader that is live now or was never live.
        self.eligible_quotes_at_leave: int | None = None
        self.quotes_sent_since_leave = 0
        # The value of the channel's `skipped_quotes` when the reader joined the channel.
        self.channel_skipped_at_join = 0
        self._group = group
        self._steps = 0
        self._wakeup: asyncio.Future[None] | None = None
        # The object to notify when a resting reader (see `rest`) leaves its channel. None if the reader is not resting.
        self._owner: ReaderOwner | None = None
        self.on_end: Callable[[], None] | None = None

    @property
    def needs_snapshot(self) -> bool:
        """Whether the reader must receive the current state before any other event."""
        return self.state is ReaderState.SNAPSHOT

    @property
    def is_live(self) -> bool:
        """Whether the reader has caught up and joined its channel.

        The channel writes to the reader now, or starts to write to the reader at its next flush.
        """
        return self.state is ReaderState.LIVE or self.state is ReaderState.ARRIVING

    @property
    def min_interval_s(self) -> float:
        """The shortest time, in seconds, that the rights allow between two updates of a symbol. 0 means no limit."""
        return self.identity.rights.interval / 1000

    @property
    def can_write_now(self) -> bool:
        """Whether quotes can be written to the reader now.

        The stream must be open, and the sink must have room. The reader must not be held (see `IntervalHolds`), and no
        change of its subscription may be in progress.
        """
        return self.close_reason is None and not self.sink.is_full and not self.is_held and self.pending_rows is None

    @property
    def is_closing(self) -> bool:
        """Whether the stream is ending."""
        return self.state is ReaderState.CLOSING

    def enter(self, state: ReaderState) -> None:
        """Change the reader's state. Raise ImpossibleTransition if READER_TRANSITIONS does not allow the change."""
        if state not in READER_TRANSITIONS[self.state]:
            raise ImpossibleTransition(
                f"reader {self.identity.client_id!r} cannot change from {self.state.name} to {state.name}"
            )
        self.state = state

    def restart_from_snapshot(self, start_position: int) -> None:
        """Restart the stream of the reader with a snapshot of the state at event `start_position`."""
        self.start_position = start_position
        if self.state is ReaderState.CATCHING_UP:
            self.enter(ReaderState.SNAPSHOT)

    def write_opening(self, body: bytes) -> None:
        """Write the first frames of the stream."""
        self._encode_and_write(self.encoder.encode_opening, body)

    def write(self, body: bytes) -> None:
        """Write complete frames to this reader only."""
        self._encode_and_write(self.encoder.encode, body)

    def write_shared(self, body: bytes, cache: dict[Encoder, EncodedBlock]) -> None:
        """Write complete frames that other readers receive too. `cache` stores the encoded frames."""
        self._encode_and_write(lambda frames: self.encoder.encode_shared(frames, cache), body)

    def on_write_error(self) -> None:
        """End the stream after a failed write.

        Otherwise, the client would receive the later frames, and would not notice that frames are missing.
        """
        self.on_disconnected()

    def disconnect(self, reason: CloseReason, retry_ms: int, event_id: str | None = None) -> None:
        """Write a `bye` event with the reason, the reconnect delay and the given event id, and end the stream."""
        if self.close_reason is None:
            self.write(bye_frame(reason, retry_ms, event_id))
        self.close(reason)

    def switch_group(self, group: ReaderGroup) -> None:
        """Move the reader to another group. The reader catches up before the new group writes to the reader."""
        self._group = group
        self._wake()

    def on_full(self) -> None:
        """Leave the channel. The reader catches up from its position once the send buffer (sink) has drained."""
        self.stalls += 1
        self._group.count_stall()
        if self.is_live:
            self._group.leave(self)
        self._wake()

    def on_drained(self) -> None:
        """Continue the catch-up, because the send buffer has room again."""
        self._wake()

    def release(self) -> None:
        """Continue the catch-up, because the reader may receive quotes again."""
        self.is_held = False
        self._wake()

    def on_disconnected(self) -> None:
        """End the stream, because the connection is lost."""
        self.close(CloseReason.LOST)

    def close(self, reason: CloseReason) -> None:
        """End the stream. If the stream is ending already, keep the first close reason."""
        if self.close_reason is None:
            self.close_reason = reason
        if self.is_live:
            self._group.leave(self)
        if not self.is_closing:
            self.enter(ReaderState.CLOSING)
        self._wake()

    async def wait_until_writable(self) -> bool:
        """Wait until the send buffer has room and the reader may receive quotes. Return False if the stream is ending.

        Every _STEPS_PER_TURN-th call lets other tasks run first. Otherwise, a reader whose send buffer never fills
        would occupy the event loop until the reader has caught up.
        """
        self._steps += 1
        if self._steps % _STEPS_PER_TURN == 0:
            await asyncio.sleep(0)
        while self.close_reason is None and (self.sink.is_full or self.is_held):
            await self._next_wakeup()
        self._wakeup = None
        return self.close_reason is None

    def rest(self, owner: ReaderOwner) -> None:
        """Let the reader's channel send the events from now on, so that the reader needs no task.

        `owner` is notified when the reader leaves its channel: the reader then calls `owner.resume`.
        """
        self._owner = owner

    def end(self) -> None:
        """Call `on_end`, because the stream has ended."""
        on_end, self.on_end = self.on_end, None
        if on_end is not None:
            on_end()

    def _encode_and_write(self, encode_body: Callable[[bytes], bytes], body: bytes) -> None:
        try:
            self.sink.write(encode_body(body))
        except Exception:
            # Do not raise the error, because the caller may have to write to other readers too.
            log.debug("a write to reader %r failed", self.identity.client_id, exc_info=True)
            self.on_write_error()

    def _next_wakeup(self) -> asyncio.Future[None]:
        """Return a future that the next `_wake` completes. An asyncio.Event would occupy 0.9 KB per reader."""
        self._wakeup = asyncio.get_running_loop().create_future()
        return self._wakeup

    def _wake(self) -> None:
        if self._owner is not None:
            if not self.is_live:
                owner, self._owner = self._owner, None
                owner.resume(self)
        elif self._wakeup is not None and not self._wakeup.done():
            self._wakeup.set_result(None)


def bye_frame(reason: CloseReason, retry_ms: int, event_id: str | None = None) -> bytes:
    """Return the last frame of a stream. `retry_ms` is the delay after which the client should reconnect."""
    data: dict[str, Any] = {"reason": reason, "reconnect_in_ms": retry_ms}
    encoded_id = None if event_id is None else event_id.encode()
    return encode_frame(encode_json(data), event=StreamEvent.BYE, id=encoded_id, retry=retry_ms)
