"""Restrict the state of the feed to the rights of a client."""

from __future__ import annotations

from typing import Any

from tickwire.core.codec import decode_json, encode_json
from tickwire.hub.hub import Hub
from tickwire.server.auth.readable import select_readable
from tickwire.server.service import Service
from tickwire.sessions.rights import Rights


async def restrict_feed_state(service: Service, rights: Rights, live_state: bytes) -> bytes:
    """Return the part of the feed's state that the client may read. The argument and the result are JSON.

    The result lists only halted symbols that the client may read. A client with a delay receives the state as it was
    at the delayed time. Only an admin without a delay sees `notice_detail`, which may contain a path or an address.
    Raise JournalError if the delayed market is not available.
    """
    sees_detail = rights.has_scope("admin") and not rights.delay
    if sees_detail and rights.allows_all_symbols:
        return live_state
    state, hub = decode_json(live_state, dict[str, Any]), await service.hub_pool.hub_for(rights)
    if rights.delay:
        state = _describe_earlier(service, hub, rights.delay, state)
    if "halted" in state:
        state["halted"] = await select_readable(rights, hub.board, state["halted"])
    if not sees_detail:
        state["notice_detail"] = None
    return encode_json(state)


def _describe_earlier(service: Service, hub: Hub, delay_s: int, live_state: dict[str, Any]) -> dict[str, Any]:
    """Return the feed's state at the delayed time, from the newest status event that the delayed hub has applied.

    The list of commands is empty, because commands apply to the live feed. The result contains no lag and no counts
    of replaced and rejected models, because status events do not contain them.
    """
    status = service.runtime.status.describe_earlier(hub.status)
    model = status["model"]
    state = {
        "feed": live_state["feed"],
        "mode": live_state["mode"],
        "state": status["state"],
        "time": service.clock.now() // 1000 - delay_s * 1_000_000,
        "commands": [],
        "model": None if model is None else {"version": model},
        "scenario": status.get("scenario"),
        "notice": status["notice"],
    }
    # Add these members only if the feed has its own market time, as a simulator has. Other feeds have neither a speed
    # nor trading halts.
    if "speed" in live_state:
        state |= {
            "speed": status["speed"],
            "time": hub.board.newest_ts // 1000 or None,
            "behind": 0.0,
            "halted": status["halted"],
            # The times of a recording do not change while it plays, so a client with delayed data may also read them.
            "recording": live_state["recording"],
        }
    return state
