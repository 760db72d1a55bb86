"""What stands before every request: who asks, how often, from where; and what is said and kept of it afterwards."""

from __future__ import annotations

import logging
import secrets
from collections import Counter
from collections.abc import MutableMapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from tickwire.clock import Clock
from tickwire.core.codec import encode
from tickwire.hub.rights import Rights
from tickwire.server.access import STREAM_PATH, Access, OpenAccess
from tickwire.server.asgi import Scope, Send
from tickwire.server.audit import Audit
from tickwire.server.cors import Cors
from tickwire.server.hardening import EVERYWHERE
from tickwire.server.hosts import Hosts
from tickwire.server.proxies import Proxies
from tickwire.server.rates import Rates
from tickwire.server.rules import Rule
from tickwire.server.tickets import Tickets

_DENIED = (401, 403, 429)  # who asks is not known, may not, or did too often

log = logging.getLogger("tickwire.requests")


@dataclass(frozen=True, kw_only=True)
class Guard:
    """The parts, each of which does one thing. Made by the app from the settings; by itself it keeps nobody out."""

    clock: Clock
    access: Access = field(default_factory=OpenAccess)
    tickets: Tickets | None = None
    proxies: Proxies = field(default_factory=lambda: Proxies(""))
    hosts: Hosts = field(default_factory=Hosts)
    cors: Cors = field(default_factory=Cors)
    requests: Rates = field(default_factory=lambda: Rates(0, "requests"))
    connects: Rates = field(default_factory=lambda: Rates(0, "streams"))
    audit: Audit | None = None
    denied: Counter[int] = field(default_factory=lambda: Counter(dict.fromkeys(_DENIED, 0)))  # answers, by status

    def close(self) -> None:
        """Write what is left of the audit log."""
        if self.audit is not None:
            self.audit.close()

    def count(self, name: str | None, path: str) -> None:
        """Count a request of an address or a user; TooOften where that is too many."""
        now = self.clock.monotonic()
        self.requests.take(name, now)
        if path == STREAM_PATH:
            self.connects.take(name, now)


class Answer:
    """A `send` that adds the headers of every answer, and sees to its lines in the logs. Kept as long as a stream."""

    __slots__ = ("_begun", "_guard", "_scope", "_send", "path", "rule")
    _start, _numbers = secrets.token_hex(4), count(1)

    def __init__(self, guard: Guard, scope: Scope, send: Send, path: str) -> None:
        self._guard = guard
        self._scope = scope
        self._send = send
        self._begun = guard.clock.monotonic()
        self.path = path
        self.rule: Rule | None = None
        scope["state"]["id"] = f"{self._start}-{next(self._numbers):x}"

    async def __call__(self, message: MutableMapping[str, Any]) -> None:
        """Send it on."""
        if message["type"] == "http.response.start":
            state = self._scope["state"]
            more = [(b"x-request-id", state["id"].encode()), *EVERYWHERE, *self._guard.cors.headers(self._scope)]
            message = {**message, "headers": [*message.get("headers", ()), *more]}
            if message["status"] in _DENIED:
                self._guard.denied[message["status"]] += 1
            self._note(message["status"])
        await self._send(message)

    def _note(self, status: int) -> None:
        audited = self._guard.audit is not None and self.rule is not None and self.rule.audit is not None
        if not audited and not log.isEnabledFor(logging.INFO):
            return
        line = self._line(status)
        log.info("%s", encode(line).decode())
        if audited and status != 401:  # nobody is known then, and anybody could fill the disk
            self._audit(line)

    def _line(self, status: int) -> dict[str, Any]:
        """What is said of a request. Of its URL only the path: a query may hold a token, under many spellings."""
        state, client = self._scope["state"], self._scope.get("client")
        rights: Rights | None = state.get("rights")
        return {
            "id": state["id"],
            "method": self._scope["method"],
            "path": self.path,
            "status": status,
            "ms": round((self._guard.clock.monotonic() - self._begun) * 1000, 2),
            "subject": rights and rights.user,
            "token": rights and rights.token,
            "address": client[0] if client else None,
        }

    def _audit(self, line: dict[str, Any]) -> None:
        assert self._guard.audit is not None  # noqa: S101  # checked by the only caller
        assert self.rule is not None  # noqa: S101
        details = self._scope["state"].get("audit", {})
        ts = self._guard.clock.now() // 1000
        self._guard.audit.put({"ts": ts, "action": self.rule.audit, **line, "what": details})
