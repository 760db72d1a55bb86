"""End the streams of a stopping server, so that the readers reconnect to other servers."""

from __future__ import annotations

from tickwire.core.close_reasons import CloseReason
from tickwire.core.codec import decode_json, encode_json
from tickwire.journal.cluster import Peers
from tickwire.runtime.runtime import MAX_RECONNECTS_PER_S, Runtime

_FREE_PLACES_TOPIC = "places"
# The maximum time in which a server hands its readers over. A supervisor kills the process 20 s after the signal to
# stop, and the remaining 12 s are enough for unfinished responses.
MAX_HANDOVER_S = 8.0
_STEP_INTERVAL_S = 0.05
# The reconnect delay of a reader that another server accepts now. A delay of 0 would let browsers send requests without
# a pause if the other server stopped at the same moment.
RETURN_NOW_MS = 100


class ReaderHandover:
    """Ends the streams of a stopping server, and reports to other servers how many readers this server accepts.

    While other servers of the cluster are ready and can accept more readers, the server ends its streams one after the
    other, and each reader reconnects at once. Each reader receives events until its own stream ends.
    """

    def __init__(self, runtime: Runtime, max_readers: int) -> None:
        self._runtime = runtime
        self._max_readers = max_readers
        self._peers: Peers = runtime.cluster.peers
        self._peers.register_handler(_FREE_PLACES_TOPIC, self._answer_free_places)

    async def end_streams(self) -> None:
        """End streams step by step while other servers accept the readers. Then end all other streams immediately."""
        runtime, clock = self._runtime, self._runtime.clock
        ends_at = clock.monotonic() + MAX_HANDOVER_S
        step = _readers_per_step(len(runtime.hub_pool))
        admin = runtime.hub.reader_admin
        while len(runtime.hub_pool) and not admin.is_draining and clock.monotonic() < ends_at:
            answer = await self._peers.request_all(_FREE_PLACES_TOPIC)
            free_places = sum(decode_json(reply, int) for reply in answer.replies)
            # If a server has not replied, ask again, because the server may only be busy.
            if not free_places and not answer.missing:
                break
            admin.dismiss_some(CloseReason.DRAIN, RETURN_NOW_MS, min(step, free_places))
            await clock.sleep(_STEP_INTERVAL_S)
        if not admin.is_draining:
            runtime.drain()

    async def _answer_free_places(self, _: bytes) -> bytes | None:
        is_ready = not self._runtime.health().problems
        return encode_json(max(0, self._max_readers - len(self._runtime.hub_pool))) if is_ready else None


def _readers_per_step(readers: int) -> int:
    """Return the number of streams to end every _STEP_INTERVAL_S seconds.

    With this number, all streams end within MAX_HANDOVER_S seconds.
    """
    per_s = max(MAX_RECONNECTS_PER_S, readers / MAX_HANDOVER_S)
    return int(per_s * _STEP_INTERVAL_S) + 1
