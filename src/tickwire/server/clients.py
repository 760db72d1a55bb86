"""Who is connected, over HTTP: see them, change what they have subscribed to, send them away."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from tickwire.core.codec import encode
from tickwire.core.event import Entry
from tickwire.errors import InputError
from tickwire.hub.changes import USER_CHANGES, USER_NAMES, Asked
from tickwire.hub.control import Change, Control, Evict, Revoke, control_entry
from tickwire.hub.revoked import MOST_REVOKED
from tickwire.hub.rights import TOKEN, USER, Rights
from tickwire.hub.roster import Client
from tickwire.hub.selection import MOST, Place, Selection, Sort
from tickwire.hub.subscription import Subscription
from tickwire.server.access import permitted, rights_of, writer
from tickwire.server.audit import note
from tickwire.server.body import read_body
from tickwire.server.problem import problem
from tickwire.server.readers import Found, Held
from tickwire.server.refusal import Conflict, Full, TooLarge, TooMany
from tickwire.server.service import WRITTEN_BURST, Service
from tickwire.server.wish import SCHEMA, Wish, changed, read_wish

routes = APIRouter(tags=["clients"])
COME_BACK_MS = 60_000  # what an evicted reader is told to wait: who sends it away does not want it back at once
_BODY_BYTES = 256 * 1024  # some thousand symbols
_TRIES = 5  # of a change while other processes change the same reader

_OPENAPI = {"requestBody": {"required": True, "content": {"application/json": {"schema": SCHEMA}}}}


@routes.get("/v1/clients", response_class=Response)
async def read_clients(
    request: Request,
    sort: Annotated[Sort, Query(description="id is the alphabet; of anything else the most come first")] = "id",
    limit: Annotated[int, Query(ge=1, le=MOST, description="at most so many")] = MOST,
    search: Annotated[str, Query(max_length=100, description="only ids and users with this in them")] = "",
    after: Annotated[str, Query(description="as the Link to the next page has it")] = "",
) -> Response:
    """The connected readers, a page at a time; a Link with `rel="next"` leads on to where there are more.

    Where other processes of the journal did not answer, `Tickwire-Unanswered` says how many: their readers are missing.
    """
    service: Service = request.app.state.service
    asked = Selection(sort, limit + 1, search, _read_cursor(after) if after else None)
    found = await service.readers.select(asked)
    more = {"link": _next(asked, found.told[limit - 1].place(asked))} if len(found.told) > limit else {}
    return Response(encode(found.told[:limit]), media_type="application/json", headers={**found.headers, **more})


@routes.delete("/v1/clients", response_class=Response)
async def revoke_clients(
    request: Request,
    user: Annotated[
        str | None, Query(description="end this user's streams, and refuse the tokens issued so far")
    ] = None,
    token: Annotated[str | None, Query(description="the same for the token with this id (jti)")] = None,
) -> Response:
    """Revoke a user's tokens or a single one: streams end with a `bye`, and the tokens are refused from now on."""
    service: Service = request.app.state.service
    if (user is None) == (token is None):
        raise InputError("name a user or a token: ?user=NAME or ?token=ID", field="user")
    name = USER + user if user is not None else f"{TOKEN}{token}"
    count = await service.readers.bearers(name)
    note(request.scope, name=name, readers=count.told)
    if not service.token_seconds:
        control: Control = Evict(name, COME_BACK_MS)  # there are no tokens to refuse
    elif len(service.hub.control.ledger.revoked) >= MOST_REVOKED:
        return problem(503, f"{MOST_REVOKED} users and tokens are revoked already", headers={"retry-after": "3600"})
    else:
        now = service.clock.now() / 1e9
        control = Revoke(name, now, now + service.token_seconds, COME_BACK_MS)
    await service.publish(control_entry(control))
    return _evicted(count)


@routes.get("/v1/clients/{client_id:path}", response_class=Response)
async def read_client(request: Request, client_id: str) -> Response:
    """The connected readers with one client id, or those of one user (`user:NAME`)."""
    service: Service = request.app.state.service
    return _described(client_id, await _clients(service, rights_of(request.scope), client_id))


@routes.patch("/v1/clients/{client_id:path}", response_class=Response, openapi_extra=_OPENAPI)
async def change_client(request: Request, client_id: str) -> Response:
    """Change the subscription of connected readers, without a reconnect. Added symbols get their quotes at once."""
    service: Service = request.app.state.service
    wish = read_wish(await read_body(request, _BODY_BYTES))
    note(request.scope, client=client_id, wish=wish)
    rights = rights_of(request.scope)
    held = Found[list[Held]]([], 0) if client_id.startswith(USER) else await service.readers.held(client_id)
    readers = [each for each in held.told if _may(rights, each.user)]
    if not readers:
        return _nobody(client_id, held)
    if not readers[0].own:
        hint = "open the stream with client_id= and a name of your own"
        detail = f"the server made {client_id} up, so a reconnect would come under another and lose the change"
        return problem(409, detail, hint=hint)
    # A user's changes take turns, whichever reader they are for: else many at once would all find the same room.
    async with service.turn(client_id if rights.may("admin") else rights.address or client_id):
        applied = await _change(request, client_id, readers, wish)
    return _described(client_id, await _clients(service, rights, client_id, after=applied))


async def _change(request: Request, client_id: str, readers: Iterable[Held], wish: Wish) -> int:
    """Make the changes, each from the newest there is; the number of the last.

    Another process may have changed the same reader a moment before: then a change is void, and made anew.
    """
    service: Service = request.app.state.service
    applied = 0
    asked = set[Asked]()
    for reader in readers:
        asked.add((reader.address, Subscription(**reader.asked)))
        await asyncio.sleep(0)
    for _ in range(_TRIES):
        late = set[Asked]()
        entries = await _entries(request, client_id, asked, wish)
        size = sum(len(entry.data) for entry in entries.values())
        who = writer(request.scope)
        if who is not None and size > WRITTEN_BURST:
            raise TooLarge(
                f"{len(entries)} requests of {client_id} changed at once are more than {WRITTEN_BURST:,} bytes"
            )
        service.writes.take(who, service.clock.monotonic(), size)
        for key, entry in entries.items():
            applied = (await service.publish(entry)).last
            if service.hub.control.ledger.changes.void(applied):
                late.add(key)
        if not late:
            return applied
        asked = late
    raise Conflict(f"others change {client_id} all the time, and this change came after theirs {_TRIES} times")


def _check(service: Service, rights: Rights, wanted: Subscription) -> None:
    """Forbidden or Full where a subscription cannot be changed to this one."""
    if not rights.may("admin"):
        permitted(rights, wanted)
    if not service.hub.has_room(wanted):
        raise Full("the server has all the filters of this kind that it takes; simpler ones still go", field="filter")


@routes.delete("/v1/clients/{client_id:path}", response_class=Response)
async def evict_client(request: Request, client_id: str) -> Response:
    """End the streams of one client id, or of one user (`user:NAME`), with a `bye`."""
    service: Service = request.app.state.service
    rights = rights_of(request.scope)
    found = await _clients(service, rights, client_id)
    count = Found(len(found.told), found.missing)
    note(request.scope, client=client_id, readers=count.told)
    if not count.told:
        return _nobody(client_id, found)
    only = None if rights.may("admin") else rights.address
    await service.publish(control_entry(Evict(client_id, COME_BACK_MS, only)))
    return _evicted(count)


def _next(asked: Selection, last: Place) -> str:
    """Where the page after `last` is, relative to this one (RFC 8288)."""
    given = {"sort": asked.sort, "limit": asked.limit - 1, "search": asked.search}
    return f'<?{urlencode({**given, "after": f"{last.rank}:{last.since}:{last.id}"})}>; rel="next"'


def _read_cursor(text: str) -> Place:
    rank, _, rest = text.partition(":")
    since, _, name = rest.partition(":")
    try:
        return Place(int(rank), name, int(since))
    except ValueError:
        raise InputError(f"{text[:40]!r} is no place in the list: take it from the Link", field="after") from None


def _described(client_id: str, found: Found[list[Client]]) -> Response:
    if not found.told:
        return _nobody(client_id, found)
    return Response(encode(found.told), media_type="application/json", headers=found.headers)


def _evicted(count: Found[int]) -> Response:
    return Response(encode({"evicted": count.told}), media_type="application/json", headers=count.headers)


def _nobody(client_id: str, found: Found[Any]) -> Response:
    hint = f"{found.missing} of the servers did not answer: the reader may be there" if found.missing else None
    return problem(404, f"no reader is connected as {client_id}", headers=found.headers, hint=hint)


def _may(rights: Rights, user: str | None) -> bool:
    """Whether streams of this user are one's own to see and change: an admin's are everybody's."""
    return rights.may("admin") or (user is not None and user == rights.user)


async def _clients(service: Service, rights: Rights, client_id: str, *, after: int = 0) -> Found[list[Client]]:
    """The readers of that name that one may see. Clients choose their ids: others may have the same."""
    if client_id.startswith(USER) and not _may(rights, client_id.removeprefix(USER)):
        return Found([], 0)  # not asked for: to describe all of a user's readers takes every process some time
    found = await service.readers.clients(client_id, after=after)
    return found._replace(told=[each for each in found.told if _may(rights, each.user)])


async def _entries(request: Request, client_id: str, asked: Iterable[Asked], wish: Wish) -> dict[Asked, Entry]:
    """A change for each user's request, where it changes anything; InputError before any of them is made.

    What is changed is what they asked for, not what was left of it by their rights, which narrow each change anew.
    Others have their turns in between: with a thousand symbols each takes some milliseconds.
    """
    service: Service = request.app.state.service
    rights, ledger, after = rights_of(request.scope), service.hub.control.ledger, service.hub.head.sequence
    found, wanted = {}, {}
    for user, came_with in asked:
        now, _ = ledger.changes.newest(client_id, user, came_with)
        new = changed(now, wish, service.limits.symbols)
        if new != now:
            change = Change(client_id, came_with.describe(), new.describe(), user, after)
            Subscription(**change.asked)  # who obeys it reads both, and a filter's normal form may be too long for one
            wanted[user, came_with] = Subscription(**change.now)
            _check(service, rights, wanted[user, came_with])
            found[user, came_with] = control_entry(change)
        await asyncio.sleep(0)
    lacking = ledger.changes.lacks_room(client_id, wanted)
    if lacking == "server":
        raise Full("as many changed subscriptions are kept as may be")
    if lacking == "user" and not rights.may("admin"):
        raise TooMany(f"a user may have {USER_CHANGES} changed subscriptions with {USER_NAMES:,} symbols in all")
    return found
