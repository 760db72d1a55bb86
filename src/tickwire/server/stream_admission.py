"""Limit the number of open streams: in total, for each client address and for each user."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from typing import TypeAlias

from starlette.responses import Response

from tickwire.server.auth.rules import STREAM_PATH
from tickwire.server.problem import problem
from tickwire.server.service import Service
from tickwire.server.transport.asgi import Scope, client_network
from tickwire.sessions.rights import Rights

# The longest query string of a stream. The limit is large enough for a query with a thousand symbols. The whole request
# head may have 64 KB.
_MAX_QUERY_BYTES = 32 * 1024
_METHODS = ("GET", "HEAD", "QUERY")

Slot: TypeAlias = tuple[Hashable, ...]
"""The keys under which the limits count one stream request."""

_TOTAL_KEY = ""
_TOTAL_SLOT: Slot = (_TOTAL_KEY,)
_ADDRESS_PREFIX = "address:"


class StreamAdmission:
    """Counts the stream requests in progress.

    Each request occupies a slot from the beginning of its checks until its stream ends. A stream may open much later,
    because the server may have to wait for the journal. If the limits counted only open streams, many waiting requests
    could be accepted at the same time, and together exceed a limit.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        # The number of occupied slots for each key. The keys are the total, each address and each user.
        self._slot_counts = Counter[Hashable]()

    def acquire(self, scope: Scope, rights: Rights) -> Slot | Response:
        """Reserve a slot and return it. If a limit is reached, return the error response instead.

        After the stream has ended, the caller must release the slot.
        """
        rejection = self._find_rejection(scope, rights)
        if rejection is None:
            slot = self._slot_keys(scope, rights)
            for key in slot:
                self._slot_counts[key] += 1
            return slot
        reason, response = rejection
        self._service.refused_streams[reason] += 1
        return response

    def release(self, slot: Slot) -> None:
        for key in slot:
            self._slot_counts[key] -= 1
            if not self._slot_counts[key]:
                del self._slot_counts[key]

    def _find_rejection(self, scope: Scope, rights: Rights) -> tuple[str, Response] | None:
        """Check the request against all limits. Return None if the request is within the limits.

        Otherwise return a pair: the reason under which the metrics count the rejected request, and the error response.
        """
        hubs, limits, occupied = self._service.hub_pool, self._service.limits, self._slot_counts
        if scope["method"] not in _METHODS:
            return "input", problem(405, "streams are read-only: use GET", headers={"allow": ", ".join(_METHODS)})
        if len(scope["query_string"]) > _MAX_QUERY_BYTES:
            return "input", problem(
                414,
                f"the query is longer than {_MAX_QUERY_BYTES} bytes: store the subscription with "
                f"POST /v1/subscriptions first, or send it in the body of QUERY {STREAM_PATH}",
            )
        if hubs.live_hub.reader_admin.is_draining:
            return "stopping", problem(503, "the server is shutting down", headers={"retry-after": "2"})
        if occupied[_TOTAL_KEY] >= limits.max_readers:
            return "readers", problem(
                503, f"the limit of {limits.max_readers} readers is reached", headers={"retry-after": "5"}
            )
        limit = limits.max_readers_per_address
        if limit and occupied[_address_slot_key(scope)] >= limit:
            return "address", problem(
                429, f"the limit of {limit} readers per address is reached", headers={"retry-after": "5"}
            )
        limit = min(filter(None, (limits.max_readers_per_user, rights.readers)), default=0)
        if limit and occupied[_user_slot_key(rights)] >= limit:
            return "user", problem(
                429, f"the limit of {limit} readers per user is reached", headers={"retry-after": "5"}
            )
        return None

    def _slot_keys(self, scope: Scope, rights: Rights) -> Slot:
        """Return the keys of `_slot_counts` that count the slot of this request."""
        address = _address_slot_key(scope) if self._service.limits.max_readers_per_address else None
        user = _user_slot_key(rights)
        if address is None and user is None:
            return _TOTAL_SLOT
        return (_TOTAL_KEY, *(key for key in (address, user) if key is not None))


def _address_slot_key(scope: Scope) -> Hashable:
    """Return the key under which the slots of an address are counted, or None for a client without an address."""
    network = client_network(scope)
    return _ADDRESS_PREFIX + network if network else None


def _user_slot_key(rights: Rights) -> Hashable:
    """Return the key under which the slots of a user are counted.

    The key is the user, or the token if the token names no user. The key is None for a client that sends no token and
    no user, because the server cannot distinguish such clients. No limit per user applies to these clients.
    """
    return rights.principal
