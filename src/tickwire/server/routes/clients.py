"""List the connected clients over HTTP, change their subscriptions, disconnect them, and revoke tokens."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import ExitStack
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import Query, Request
from starlette.responses import Response

from tickwire.core.codec import encode_json
from tickwire.core.event import JournalEntry
from tickwire.errors import InputError
from tickwire.hub.client_list import MAX_PAGE_SIZE, ClientInfo, ClientQuery, ClientSortField, ClientSortKey
from tickwire.server.api_router import create_router
from tickwire.server.auth.access import bearer_of, request_rights, restrict_subscription
from tickwire.server.cluster_clients import ClusterResult, ReaderRequest
from tickwire.server.http_errors import Conflict, QuotaExceeded, ServerFull, TooLarge, filter_limits_as_problems
from tickwire.server.middleware.audit import add_audit_details, mark_unchanged
from tickwire.server.middleware.journal_writes import MAX_JOURNAL_BURST_BYTES
from tickwire.server.problem import problem
from tickwire.server.service import Service
from tickwire.server.subscription_patch import PATCH_SCHEMA, SubscriptionPatch, apply_patch, decode_patch
from tickwire.server.transport.body import read_body
from tickwire.sessions.admin_events import (
    AdminEvent,
    ReadersEvicted,
    SubscriptionChanged,
    admin_event_entry,
)
from tickwire.sessions.revoked import MAX_REVOCATIONS, revocation_event
from tickwire.sessions.rights import TOKEN_PREFIX, USER_PREFIX, Rights
from tickwire.sessions.subscription import Subscription
from tickwire.sessions.subscription_overrides import MAX_OVERRIDE_SYMBOLS_PER_USER, MAX_OVERRIDES_PER_USER, UserRequest

routes = create_router("clients")
# An evicted reader waits this long before it reconnects. The delay is long, so that the reader does not return at once.
EVICTED_RETRY_MS = 60_000
# The maximum size of a request body. A change of several thousand symbols fits in this size.
_MAX_BODY_BYTES = 256 * 1024
# The maximum number of attempts to change a reader while other processes change the same reader.
_MAX_ATTEMPTS = 5

_OPENAPI = {"requestBody": {"required": True, "content": {"application/json": {"schema": PATCH_SCHEMA}}}}


@routes.get("/v1/clients", response_class=Response)
async def read_clients(
    request: Request,
    sort: Annotated[
        ClientSortField,
        Query(description=("the field by which to sort: `id` sorts alphabetically, any other field from high to low")),
    ] = "id",
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE_SIZE, description="the maximum number of readers")] = MAX_PAGE_SIZE,
    search: Annotated[
        str, Query(max_length=100, description="return only readers whose id or user contains this text")
    ] = "",
    after: Annotated[str, Query(description="the cursor of a page, from the Link header of the previous page")] = "",
) -> Response:
    """Return the connected readers in pages. The Link header with `rel="next"` contains the URL of the next page.

    If some server processes do not answer, the list lacks the readers of these processes. The header
    `Tickwire-Unanswered` then contains the number of these processes.
    """
    service: Service = request.app.state.service
    query = ClientQuery(sort, limit + 1, search, _parse_cursor(after) if after else None)
    result = await service.cluster_clients.query_clients(query)
    has_next_page = len(result.value) > limit
    link = {"link": _next_page_link(query, result.value[limit - 1].sort_key(query))} if has_next_page else {}
    return Response(
        encode_json(result.value[:limit]), media_type="application/json", headers={**result.headers, **link}
    )


@routes.delete("/v1/clients", response_class=Response)
async def revoke_clients(
    request: Request,
    user: Annotated[
        str | None, Query(description="end the streams of this user, and revoke all tokens issued to the user so far")
    ] = None,
    token: Annotated[
        str | None, Query(description="end the streams of the token with this id (jti), and revoke it")
    ] = None,
) -> Response:
    """Revoke all tokens of a user, or a single token. The streams of these tokens end with a `bye` event."""
    service: Service = request.app.state.service
    if (user is None) == (token is None):
        raise InputError("revoke either a user or a token: send ?user=NAME or ?token=ID", field="user")
    target = USER_PREFIX + user if user is not None else f"{TOKEN_PREFIX}{token}"
    count = await service.cluster_clients.count_token_holders(target)
    add_audit_details(request.scope, name=target, readers=count.value)
    if not service.max_token_age_s:
        # Without authentication, there are no tokens to revoke, so only evict the readers.
        event: AdminEvent = _eviction_event(service, target)
    elif len(service.live_hub.reader_admin.registry.revoked_tokens) >= MAX_REVOCATIONS:
        return problem(503, f"the limit of {MAX_REVOCATIONS} revocations is reached", headers={"retry-after": "3600"})
    else:
        event = revocation_event(
            target,
            service.clock.now() / 1e9,
            max_token_age_s=service.max_token_age_s,
            leeway_s=service.token_leeway_s,
            retry_ms=EVICTED_RETRY_MS,
        )
    await service.runtime.publish(admin_event_entry(event))
    return _evicted_response(count)


@routes.get("/v1/clients/{client_id:path}", response_class=Response)
async def read_client(request: Request, client_id: str) -> Response:
    """Return the connected readers with the given client id, or all connected readers of a user.

    The path ends with the client id, or with `user:NAME`.
    """
    service: Service = request.app.state.service
    return _clients_response(client_id, await _find_visible_clients(service, request_rights(request.scope), client_id))


@routes.patch("/v1/clients/{client_id:path}", response_class=Response, openapi_extra=_OPENAPI)
async def change_client(request: Request, client_id: str) -> Response:
    """Change the subscription of connected readers without a reconnect.

    The server sends the quotes of added symbols at once.
    """
    service: Service = request.app.state.service
    patch = decode_patch(await read_body(request, _MAX_BODY_BYTES))
    add_audit_details(request.scope, client=client_id, wish=patch)
    rights = request_rights(request.scope)
    result = (
        ClusterResult[list[ReaderRequest]]([], 0)
        if client_id.startswith(USER_PREFIX)
        else await service.cluster_clients.find_requests(client_id)
    )
    readers = [reader for reader in result.value if _may_manage(rights, reader.user)]
    if not readers:
        return _not_found_response(client_id, result)
    if not readers[0].own:
        return problem(
            409,
            f"cannot change {client_id!r}: the server generated this client id, so a reconnect would lose the change",
            hint="open the stream with client_id= and an id of your choice",
        )
    # Do not run several changes of the same user at the same time. Otherwise, several concurrent changes could pass the
    # check of the user's limit, and together exceed the limit.
    async with service.change_lock(client_id if rights.has_scope("admin") else rights.user_target or client_id):
        # Hold the reservations for the new filters until the readers use the filters.
        with ExitStack() as reservations:
            sequence = await _publish_changes(request, client_id, readers, patch, reservations)
    if not sequence:
        mark_unchanged(request.scope)
    return _clients_response(client_id, await _find_visible_clients(service, rights, client_id, min_sequence=sequence))


async def _publish_changes(
    request: Request,
    client_id: str,
    requests: Iterable[ReaderRequest],
    patch: SubscriptionPatch,
    reservations: ExitStack,
) -> int:
    """Publish a change for each requested subscription. Return the sequence number of the last published change.

    A published change has no effect if another process changed the same subscription at the same time. In this case,
    the function applies the patch to the newest subscription, and publishes a new change.
    """
    service: Service = request.app.state.service
    sequence = 0
    pending = set[UserRequest]()
    for reader in requests:
        pending.add((reader.user_target, Subscription(**reader.asked)))
        await asyncio.sleep(0)
    for _ in range(_MAX_ATTEMPTS):
        conflicts = set[UserRequest]()
        entries = await _build_change_entries(request, client_id, pending, patch, reservations)
        size = sum(len(entry.data) for entry in entries.values())
        quota_key = bearer_of(request.scope)
        if quota_key is not None and size > MAX_JOURNAL_BURST_BYTES:
            raise TooLarge(
                f"the change of {len(entries)} subscriptions of {client_id!r} has {size:,} bytes, but the limit is "
                f"{MAX_JOURNAL_BURST_BYTES:,} bytes: change fewer symbols at once"
            )
        service.journal_writes.charge(quota_key, service.clock.monotonic(), *entries.values())
        for user_request, entry in entries.items():
            sequence = (await service.runtime.publish(entry)).last
            if service.live_hub.reader_admin.registry.overrides.is_conflict(sequence):
                conflicts.add(user_request)
        if not conflicts:
            return sequence
        pending = conflicts
    raise Conflict(
        f"could not change the subscription of client {client_id!r}, because other requests changed it during all "
        f"{_MAX_ATTEMPTS} attempts: try again"
    )


async def _prepare_hubs(
    request: Request, client_id: str, current: Subscription, override: Subscription, reservations: ExitStack
) -> None:
    """Prepare the hubs of this process for the changed subscription of a client.

    Test the patterns of the changed subscription in the live hub, and in each other hub with readers of the client. If
    the changed subscription has another filter or top-N screen than the subscription `current`, reserve room for it in
    these hubs.
    """
    service: Service = request.app.state.service
    rights = request_rights(request.scope)
    allowed = rights.restrict(override)
    needs_room = not {*allowed.screen_conditions} <= {*rights.restrict(current).screen_conditions}
    with filter_limits_as_problems():
        for hub in [*service.hub_pool]:
            if hub is service.live_hub or client_id in hub.roster:
                await hub.test_patterns(allowed)
                if needs_room:
                    reservations.enter_context(await hub.reserve_screen(allowed, bearer_of(request.scope)))


@routes.delete("/v1/clients/{client_id:path}", response_class=Response)
async def evict_client(request: Request, client_id: str) -> Response:
    """End the streams of the given client id, or all streams of a user.

    The path ends with the client id, or with `user:NAME`. Each stream ends with a `bye` event.
    """
    service: Service = request.app.state.service
    rights = request_rights(request.scope)
    result = await _find_visible_clients(service, rights, client_id)
    count = ClusterResult(len(result.value), result.unanswered_count)
    add_audit_details(request.scope, client=client_id, readers=count.value)
    if not count.value:
        return _not_found_response(client_id, result)
    only_user = None if rights.has_scope("admin") else rights.user_target
    entry = admin_event_entry(_eviction_event(service, client_id, only_user))
    service.journal_writes.charge(bearer_of(request.scope), service.clock.monotonic(), entry)
    await service.runtime.publish(entry)
    return _evicted_response(count)


def _next_page_link(query: ClientQuery, last: ClientSortKey) -> str:
    """Return the Link header (RFC 8288) with the relative URL of the next page of clients.

    `last` is the sort key of the last client on this page.
    """
    parameters = {"sort": query.sort, "limit": query.limit - 1, "search": query.search}
    return f'<?{urlencode({**parameters, "after": f"{last.rank}:{last.since}:{last.id}"})}>; rel="next"'


def _parse_cursor(text: str) -> ClientSortKey:
    rank, _, rest = text.partition(":")
    since, _, client_id = rest.partition(":")
    try:
        return ClientSortKey(int(rank), client_id, int(since))
    except ValueError:
        raise InputError(f"invalid cursor {text[:40]!r}: use the URL in the Link header", field="after") from None


def _clients_response(client_id: str, result: ClusterResult[list[ClientInfo]]) -> Response:
    if not result.value:
        return _not_found_response(client_id, result)
    return Response(encode_json(result.value), media_type="application/json", headers=result.headers)


def _eviction_event(service: Service, name: str, user: str | None = None) -> ReadersEvicted:
    return ReadersEvicted(name, EVICTED_RETRY_MS, user, service.clock.now() // 10**9)


def _evicted_response(count: ClusterResult[int]) -> Response:
    return Response(encode_json({"evicted": count.value}), media_type="application/json", headers=count.headers)


def _not_found_response(client_id: str, result: ClusterResult[Any]) -> Response:
    hint = (
        f"{result.unanswered_count} of the servers did not answer, and the reader may be connected to one of them"
        if result.unanswered_count
        else None
    )
    return problem(404, f"no reader is connected as {client_id!r}", headers=result.headers, hint=hint)


def _may_manage(rights: Rights, user: str | None) -> bool:
    """Return whether the client may see and change the streams of `user`. An admin may manage all streams."""
    return rights.has_scope("admin") or (user is not None and user == rights.user)


async def _find_visible_clients(
    service: Service, rights: Rights, client_id: str, *, min_sequence: int = 0
) -> ClusterResult[list[ClientInfo]]:
    """Return the readers with this client id that the requesting client may see.

    Clients choose their client ids, so readers of several users may have the same id.
    """
    # Check the rights before the query, because every process needs time to describe all readers of a user.
    if client_id.startswith(USER_PREFIX) and not _may_manage(rights, client_id.removeprefix(USER_PREFIX)):
        return ClusterResult([], 0)
    result = await service.cluster_clients.find_clients(client_id, min_sequence=min_sequence)
    return result._replace(value=[client for client in result.value if _may_manage(rights, client.user)])


async def _build_change_entries(
    request: Request, client_id: str, requests: Iterable[UserRequest], patch: SubscriptionPatch, reservations: ExitStack
) -> dict[UserRequest, JournalEntry]:
    """Return a journal entry for each subscription that the patch changes. Reserve room for the new filters.

    The patch changes the subscription that the reader requested, without the restriction to the reader's rights. The
    server restricts the changed subscription later.

    A patch with a thousand symbols takes a few milliseconds for each subscription. The function therefore lets other
    tasks run after each subscription.

    Raise InputError if a change is invalid.
    """
    service: Service = request.app.state.service
    rights, limits = request_rights(request.scope), service.limits
    overrides, after = service.live_hub.reader_admin.registry.overrides, service.live_hub.head.sequence
    entries, changed = {}, {}
    for user, requested in requests:
        current, _ = overrides.current_subscription(client_id, user, requested)
        new = apply_patch(current, patch, limits.max_symbols_per_subscription)
        if new != current:
            change = SubscriptionChanged(client_id, requested.describe(), new.describe(), user, after)
            # Parse both descriptions, because every process that reads the journal must be able to parse them. The
            # parser can reject the normal form of a valid filter, because the normal form may be too long.
            Subscription(**change.asked)
            changed[user, requested] = override = Subscription(**change.now)
            if not rights.has_scope("admin"):
                restrict_subscription(rights, override)
            await _prepare_hubs(request, client_id, current, override, reservations)
            entries[user, requested] = admin_event_entry(change)
        await asyncio.sleep(0)
    exceeded = overrides.exceeded_limit(client_id, changed)
    if exceeded == "server":
        raise ServerFull("the server's limit of changed subscriptions is reached: try again later")
    if exceeded == "user" and not rights.has_scope("admin"):
        raise QuotaExceeded(
            f"limit reached: a user may change at most {MAX_OVERRIDES_PER_USER} subscriptions, with at most "
            f"{MAX_OVERRIDE_SYMBOLS_PER_USER:,} symbols in total"
        )
    return entries
