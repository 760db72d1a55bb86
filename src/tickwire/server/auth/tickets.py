"""Tickets: short-lived, single-use credentials for stream URLs, so that no URL contains a long-lived token.

A ticket is a signed token with the rights of the client that requested the ticket. The server does not store issued
tickets. Every server with the same signing key can redeem a ticket.

The journal, which all servers share, ensures that a ticket works only once. To redeem a ticket, a server appends an
entry to the journal. The key of the entry is the id of the ticket, and the journal rejects a second entry with the same
key.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import secrets
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec

from tickwire.clock import Clock
from tickwire.core.event import JournalEntry, SequenceRange
from tickwire.eager_task import enter_task
from tickwire.errors import InputError
from tickwire.server.auth.claims import claims_from_rights, rights_from_claims
from tickwire.server.http_errors import Unauthorized
from tickwire.sessions.admin_events import TicketRedeemed, admin_event_entry
from tickwire.sessions.rights import Rights

TICKET_LIFETIME_S = 30
_DEDUP_SOURCE = "ticket"
_ALGORITHM = "HS256"


class Tickets:
    """Issues and redeems tickets. Servers with a common secret and the same journal accept each other's tickets.

    The first secret signs new tickets. Without a secret, only this object accepts its tickets. Before `redeem` appends
    an entry to the journal, it calls `charge` with the name of the ticket's client, the monotonic time and the entry.
    `charge` raises an error if the client may append no more entries.
    """

    def __init__(
        self,
        ticket_secrets: Sequence[str],
        publish: Callable[[JournalEntry], Awaitable[SequenceRange]],
        clock: Clock,
        charge: Callable[[str | None, float, JournalEntry], None],
    ) -> None:
        self._keys = [secrets.token_bytes(32)]
        self.replace_secrets(ticket_secrets)
        self._publish = publish
        self._clock = clock
        self._charge = charge

    def replace_secrets(self, ticket_secrets: Sequence[str]) -> None:
        """Use these secrets to sign and verify tickets from now on. If the list is empty, keep the current secrets."""
        self._keys = [_derive_key(secret) for secret in ticket_secrets] or self._keys

    def issue(self, rights: Rights) -> str:
        """Return a new ticket that has these rights."""
        # Import the module only here, because the import takes 60 ms and servers without tokens do not need the module.
        import jwt

        until = int(self._clock.now() / 1e9) + TICKET_LIFETIME_S
        claims = {"ticket": secrets.token_urlsafe(16), "until": until, "rights": claims_from_rights(rights)}
        if rights.digest is not None:
            claims["digest"] = rights.digest
        return jwt.encode(claims, self._keys[0], _ALGORITHM)

    async def redeem(self, ticket: str, address: str = "") -> Rights:
        """Return the rights of the ticket. Raise Unauthorized if the ticket is invalid, expired or already redeemed.

        `address` is the network address of the client, or an empty string if the address is unknown.
        """
        # Import the module only here, because the import takes 60 ms and servers without tokens do not need the module.
        import jwt

        try:
            claims = self._verify_signature(ticket)
            name, until, rights = claims["ticket"], claims["until"], rights_from_claims(claims["rights"])
            rights = msgspec.structs.replace(rights, digest=claims.get("digest"))
        except (jwt.PyJWTError, InputError, ValueError, TypeError, KeyError, RecursionError):
            raise Unauthorized("invalid ticket: request a new ticket with POST /v1/tickets", field="ticket") from None
        now = self._clock.now() / 1e9
        if now >= until or (rights.expires is not None and now >= rights.expires):
            raise Unauthorized(
                f"the ticket has expired: a ticket is valid for {TICKET_LIFETIME_S} s, and never longer than its "
                "token. Request a new ticket with POST /v1/tickets",
                field="ticket",
            )
        entry = admin_event_entry(TicketRedeemed())._replace(source=_DEDUP_SOURCE, key=name)
        self._charge(rights.bearer(address), self._clock.monotonic(), entry)
        await enter_task()
        if not (await self._publish(entry)).is_new:
            raise Unauthorized("the ticket was used before: request a new ticket with POST /v1/tickets", field="ticket")
        return rights

    def _verify_signature(self, ticket: str) -> dict[str, Any]:
        import jwt

        *earlier_keys, last_key = self._keys
        for key in earlier_keys:
            with contextlib.suppress(jwt.InvalidSignatureError):
                return jwt.decode(ticket, key, [_ALGORITHM])
        return jwt.decode(ticket, last_key, [_ALGORITHM])


def _derive_key(secret: str) -> bytes:
    """Return a signing key for tickets that differs from the signing key for tokens.

    Because of the different keys, the server never accepts a ticket as a token, or a token as a ticket.
    """
    return hmac.digest(secret.encode(), b"tickwire ticket", hashlib.sha256)
