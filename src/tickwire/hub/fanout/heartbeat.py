"""Heartbeats, which the server sends to streams that were silent for some time."""

from __future__ import annotations

from typing import NamedTuple, Self

from tickwire.core.codec import encode_json
from tickwire.core.event_kinds import StreamEvent
from tickwire.core.heartbeat import Heartbeat
from tickwire.sessions.subscription import Heartbeats, Subscription
from tickwire.sse.frame import encode_comment, encode_frame


class HeartbeatFrames(NamedTuple):
    """The frames of one heartbeat: one frame for each form that a subscription can request."""

    comment: bytes
    event: bytes

    @classmethod
    def encode(cls, wall_time_us: int, head: str) -> Self:
        """Encode a heartbeat. `head` is the position of the hub, and the time is in microseconds since 1970."""
        data = encode_json(Heartbeat(wall_time_us, head))
        return cls(encode_comment(f"hb {wall_time_us} {head}"), encode_frame(data, event=StreamEvent.HEARTBEAT))

    def frame_for(self, subscription: Subscription) -> bytes:
        return self.event if subscription.heartbeats is Heartbeats.EVENT else self.comment
