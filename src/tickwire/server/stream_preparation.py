"""Check a stream request: its parameters, its rights, and the limits that apply to its filter."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from contextlib import ExitStack
from functools import lru_cache
from typing import NamedTuple

from starlette.responses import Response

from tickwire.core.event_id import parse_event_id, parse_eviction_time
from tickwire.eager_task import enter_task
from tickwire.errors import FilterShareExceeded, InputError, JournalError, ScreenLimitReached
from tickwire.hub.catchup.resume import start_since_time
from tickwire.hub.fanout.reader import ReaderIdentity
from tickwire.hub.hub import Hub
from tickwire.server.auth.access import bearer_of, request_rights, restrict_subscription
from tickwire.server.http_errors import QUERY_MEDIA_TYPE, HttpError, UnsupportedMediaType, filter_limit_problem
from tickwire.server.problem import input_problem, journal_problem
from tickwire.server.service import Service
from tickwire.server.stream_request import (
    MAX_SUBSCRIPTION_BYTES,
    SUBSCRIPTION_PARAMETERS,
    StreamRequest,
    add_body_parameters,
    parse_stream_query,
)
from tickwire.server.transport.asgi import Receive, Scope, first_header_value
from tickwire.server.transport.body import receive_body
from tickwire.sessions.admin_events import KeepAlive, SubscriptionChanged, admin_event_entry
from tickwire.sessions.rights import Rights
from tickwire.sse.compression import IDENTITY, ContentCoding, negotiate_coding

EVICTION_TIMEOUT_S = 600.0
"""The time after an eviction during which the server rejects a reconnect with the last id of the evicted stream.

Clients wait a minute before they reconnect, and a suspended computer may reconnect later.
"""


class ReferencedSubscription(NamedTuple):
    """A stored subscription that the request refers to by id."""

    id: str
    parameters: Mapping[str, str]


class PreparedStream:
    """A stream request that has passed all checks."""

    __slots__ = ("coding", "filter_reservation", "hub", "identity", "request", "stored_subscription")

    def __init__(  # noqa: PLR0917  # six collaborators, each of its own type
        self,
        hub: Hub,
        request: StreamRequest,
        identity: ReaderIdentity,
        coding: ContentCoding,
        stored_subscription: ReferencedSubscription | None,
        filter_reservation: ExitStack | None,
    ) -> None:
        self.hub = hub
        self.request = request
        self.identity = identity
        self.coding = coding
        self.stored_subscription = stored_subscription
        self.filter_reservation = filter_reservation

    def release_filter(self) -> None:
        """Release the reservation for the filter of the stream. A second call does nothing."""
        if self.filter_reservation is not None:
            self.filter_reservation.close()
            self.filter_reservation = None


class StreamPreparation:
    """Checks the requests for streams."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def read_body(self, scope: Scope, receive: Receive) -> bytes | Response:
        """Return the body of a QUERY request. If the body is not acceptable, return the error response instead."""
        try:
            media_type = (first_header_value(scope, b"content-type") or "").partition(";")[0].strip().lower()
            if media_type != QUERY_MEDIA_TYPE:
                raise UnsupportedMediaType(f"unsupported content-type {media_type[:40]!r}: send {QUERY_MEDIA_TYPE}")
            return await receive_body(scope, receive, MAX_SUBSCRIPTION_BYTES, self._service.body_room)
        except InputError as error:
            self._service.refused_streams["input"] += 1
            return input_problem(error)

    async def prepare(self, scope: Scope, body: bytes) -> PreparedStream | Response:
        """Return the checked request. If the server does not open the stream, return the answer instead.

        `body` contains the body of a QUERY request.
        """
        try:
            parameters, headers = parse_stream_query(scope["query_string"].decode("latin-1")), dict(scope["headers"])
            if scope["method"] == "QUERY":
                add_body_parameters(parameters, body)
            last_event_id = headers.get(b"last-event-id", b"").decode("latin-1") or parameters.get("last_event_id", "")
            if self._is_recently_evicted(last_event_id):
                self._service.refused_streams["evicted"] += 1
                return Response(status_code=204)
            prepared = await self._check(parameters, last_event_id, headers, request_rights(scope), bearer_of(scope))
            try:
                if scope["method"] != "HEAD":
                    await self._reset_or_extend_override(prepared)
            except BaseException:
                prepared.release_filter()
                raise
            return prepared
        except InputError as error:
            self._service.refused_streams["input"] += 1
            return input_problem(error)
        except JournalError as error:
            self._service.refused_streams["journal"] += 1
            return journal_problem(error, request_rights(scope))

    def _is_recently_evicted(self, last_event_id: str) -> bool:
        """Whether the last event id shows that the reader was evicted a short time ago.

        The server then answers with the status 204, which stops the automatic reconnects of an EventSource.
        """
        evicted_at_s = parse_eviction_time(last_event_id)
        return evicted_at_s is not None and self._service.clock.now() / 1e9 < evicted_at_s + EVICTION_TIMEOUT_S

    async def _check(
        self,
        parameters: dict[str, str],
        last_event_id: str,
        headers: dict[bytes, bytes],
        rights: Rights,
        bearer: str | None,
    ) -> PreparedStream:
        service, hub = self._service, await self._service.hub_pool.hub_for(rights)
        stored = self._find_stored_subscription(parameters.pop("subscription", None), parameters)
        if stored is not None:
            parameters = {**stored.parameters, **parameters}
        await self._wait_until_applied(hub, last_event_id or parameters.get("since", ""))
        history = hub.journal_range()
        request = StreamRequest(parameters, last_event_id, history, service.limits.max_symbols_per_subscription)
        restrict_subscription(rights, request.subscription)
        if request.start_time_ns is not None:
            await self._resolve_start_time(hub, request, parameters["since"])
        identity = ReaderIdentity(
            request.client_id, request.has_client_chosen_id, rights, service.clock.now() // 1000, bearer
        )
        try:
            reservation = await hub.reserve_reader(request.subscription, request.start, identity)
        except (ScreenLimitReached, FilterShareExceeded) as error:
            raise filter_limit_problem(error) from None
        accepted = headers.get(b"accept-encoding", b"").decode("latin-1")
        coding = _negotiate_cached(accepted) if service.compression_enabled else IDENTITY
        return PreparedStream(hub, request, identity, coding, stored, reservation)

    async def _wait_until_applied(self, hub: Hub, event_id_text: str) -> None:
        """Wait until this process has applied the last event that the client received.

        The client may have received this event from another server of the cluster.
        """
        if not event_id_text:
            return
        # Ignore a text that is not an event id. `since` may be a time, and StreamRequest reports invalid values.
        with contextlib.suppress(InputError):
            event_id = parse_event_id(event_id_text)
            if event_id.epoch == hub.head.epoch:
                await self._service.runtime.wait_until_applied(hub, event_id.sequence)

    def _find_stored_subscription(self, id: str | None, parameters: dict[str, str]) -> ReferencedSubscription | None:  # noqa: A002  # named as in the API
        """Return the stored subscription that the request refers to. Return None for a request without a reference.

        Raise InputError if no stored subscription has the id, or if the request also contains subscription parameters.
        """
        if id is None:
            return None
        stored = self._service.live_hub.reader_admin.registry.stored_subscriptions.find_parameters(id)
        if stored is None:
            raise _SubscriptionNotFound(
                f"no stored subscription has the id {id[:40]!r}",
                field="subscription",
                hint="unused subscriptions expire after a minute: store it again with POST /v1/subscriptions",
            )
        for name in parameters:
            if name in SUBSCRIPTION_PARAMETERS:
                raise InputError(
                    f"parameter {name!r} belongs to the stored subscription: remove it from the URL", field=name
                )
        return ReferencedSubscription(id, stored)

    async def _resolve_start_time(self, hub: Hub, request: StreamRequest, since_text: str) -> None:
        assert request.start_time_ns is not None  # noqa: S101  # checked by the only caller
        await enter_task()
        sequence = await self._service.runtime.journal.find_sequence_before(request.start_time_ns)
        request.start = start_since_time(hub.journal_range(), since_text, min(sequence, hub.head.sequence))

    async def _reset_or_extend_override(self, prepared: PreparedStream) -> None:
        """Discard a subscription that was changed during an earlier stream of the reader, or extend its lifetime.

        If the reader opens a new stream, discard the changed subscription. If the reader resumes a stream, the changed
        subscription stays in effect, so extend its lifetime if the change may expire soon. Both actions append an event
        to the journal. If several streams of one user or client id open at the same time, a lock ensures that only one
        of them appends the event.
        """
        if self._required_override_event(prepared) is not None:
            await enter_task()
            async with self._service.change_lock(prepared.identity.user_address or prepared.identity.client_id):
                event = self._required_override_event(prepared)
                if event is None:
                    return
                entry = admin_event_entry(event)
                self._service.journal_writes.charge(prepared.identity.bearer, self._service.clock.monotonic(), entry)
                if isinstance(event, KeepAlive):
                    # Ignore the error. While the journal is unavailable, no changed subscription expires, so the
                    # missing event does no harm.
                    with contextlib.suppress(JournalError):
                        await self._service.runtime.publish(entry)
                else:
                    await self._service.runtime.publish(entry)

    def _required_override_event(self, prepared: PreparedStream) -> SubscriptionChanged | KeepAlive | None:
        """Return the journal event that discards the reader's changed subscription or extends its lifetime.

        Return None if no event is necessary.
        """
        identity, requested, hub = prepared.identity, prepared.request.subscription, self._service.live_hub
        overrides = hub.reader_admin.registry.overrides
        current, changed_at = overrides.current_subscription(identity.client_id, identity.user_address, requested)
        if prepared.request.start.resume is None:
            if current == requested:
                return None
            description = requested.describe()
            return SubscriptionChanged(identity.client_id, description, description, identity.user_address)
        may_expire_soon = changed_at and hub.journal_range().may_expire_soon(
            overrides.last_mention_sequence(identity.client_id, identity.user_address, requested)
        )
        return KeepAlive([identity.client_id]) if may_expire_soon else None


# Cache the parsed values, because most clients send one of a few values. A value cannot be long, because the length of
# a request head is limited.
@lru_cache(maxsize=64)
def _negotiate_cached(accept_encoding: str) -> ContentCoding:
    return negotiate_coding(accept_encoding)


class _SubscriptionNotFound(HttpError):
    """The stored subscription that a request refers to does not exist or has expired."""

    status = 404
