"""The guard of the HTTP server.

The guard rejects a request if the client has no right to send the request, or if the request exceeds a rate limit. The
guard also adds headers to the response, and logs the request.
"""

from __future__ import annotations

import logging
import os
import secrets
from collections import Counter
from collections.abc import Iterable, Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from itertools import count
from typing import TYPE_CHECKING, Any

from tickwire.clock import Clock
from tickwire.core.close_reasons import CloseReason
from tickwire.core.histogram import Exemplar
from tickwire.core.log_text import MAX_FIELD_BYTES, safe_details, safe_text
from tickwire.ops.log_format import request_id
from tickwire.ops.log_handler import log_fields
from tickwire.server.auth.access import AccessPolicy, OpenAccess
from tickwire.server.auth.rules import STREAM_METHODS, STREAM_PATH, Rule
from tickwire.server.auth.tickets import Tickets
from tickwire.server.auth.tokens import TokenVerifier
from tickwire.server.middleware.audit import AuditLog
from tickwire.server.middleware.cors import Cors
from tickwire.server.middleware.head_header import head_headers
from tickwire.server.middleware.host_check import HostCheck
from tickwire.server.middleware.journal_writes import JournalWriteLimiter
from tickwire.server.middleware.rate_limiter import RateLimiter
from tickwire.server.middleware.repeated_requests import RepeatedRequests
from tickwire.server.middleware.request_metrics import RequestMetrics
from tickwire.server.middleware.security_headers import SECURITY_HEADERS
from tickwire.server.transport.asgi import Scope, Send, client_address, client_network, first_header_value
from tickwire.server.transport.one_write import send_in_one_write
from tickwire.server.transport.proxies import TrustedProxies
from tickwire.sessions.rights import Rights

if TYPE_CHECKING:
    from tickwire.ops.tracing.tracing import RequestSpan, Tracing

_DENIED_STATUSES = (401, 403, 429)
# The server does not write these calls to the request log at the level info, because the metrics already contain their
# number. Probes arrive every second, and a publisher may send hundreds of requests a second.
PROBE_CALLS = ("GET /healthz", "GET /readyz", "GET /metrics")
PUBLISH_CALL = "POST /v1/quotes"
STREAM_CALLS = tuple(f"{method} {STREAM_PATH}" for method in STREAM_METHODS)
# At the level info, the server logs the start and the end of at most this number of streams per second (and per burst).
# Without the limit, short streams would fill the log.
MAX_LOGGED_STREAMS_PER_S = 20.0

# The headers of W3C Trace Context.
_TRACE_HEADERS = ("traceparent", "tracestate")

_NO_RIGHTS = Rights()
_NO_REQUEST: Scope = {}

log = logging.getLogger("tickwire.requests")


@dataclass(frozen=True, kw_only=True)
class Guard:
    """The checks that the server runs before it handles a request. By default, every request is accepted."""

    clock: Clock
    access: AccessPolicy = field(default_factory=OpenAccess)
    tickets: Tickets | None = None
    # The verifier of tokens, or None if the server requires no tokens.
    token_verifier: TokenVerifier | None = None
    journal_writes: JournalWriteLimiter = field(default_factory=JournalWriteLimiter)
    proxies: TrustedProxies = field(default_factory=lambda: TrustedProxies(""))
    host_check: HostCheck = field(default_factory=HostCheck)
    cors: Cors = field(default_factory=Cors)
    request_limiter: RateLimiter = field(default_factory=lambda: RateLimiter(0, "requests"))
    stream_limiter: RateLimiter = field(default_factory=lambda: RateLimiter(0, "streams"))
    audit_log: AuditLog | None = None
    denied_by_status: Counter[int] = field(default_factory=lambda: Counter(dict.fromkeys(_DENIED_STATUSES, 0)))
    # The limit of the streams whose start and end are logged at the level info.
    stream_log_limiter: RateLimiter = field(
        default_factory=lambda: RateLimiter(MAX_LOGGED_STREAMS_PER_S, "logged streams", MAX_LOGGED_STREAMS_PER_S)
    )
    request_metrics: RequestMetrics = field(default_factory=RequestMetrics)
    # The tracing that creates a span for each request, or None if the server traces no requests.
    tracing: Tracing | None = None
    unlogged_by_call: Counter[str] = field(
        default_factory=lambda: Counter(dict.fromkeys((*PROBE_CALLS, PUBLISH_CALL, *STREAM_CALLS), 0))
    )

    @cached_property
    def repeated_requests(self) -> RepeatedRequests | None:
        """The object that combines the audit lines of requests without an effect. None if there is no audit log."""
        return None if self.audit_log is None else RepeatedRequests(self.audit_log, self.clock)

    def close(self) -> None:
        """Flush and close the audit log."""
        if self.repeated_requests is not None:
            self.repeated_requests.close()
        if self.audit_log is not None:
            self.audit_log.close()

    def check_rate(self, client_key: str | None, path: str) -> None:
        """Count a request from an address or a user. Raise RateLimited if the request exceeds a rate limit."""
        if self.request_limiter.is_enabled:
            self.request_limiter.consume(client_key, self.clock.monotonic())
        if path == STREAM_PATH and self.stream_limiter.is_enabled:
            self.stream_limiter.consume(client_key, self.clock.monotonic())


class Exchange:
    """One request and its response. The class adds the common response headers, and logs the request.

    It has `__slots__` to save memory, because each stream keeps its Exchange until the stream ends.
    """

    __slots__ = (
        "_address",
        "_guard",
        "_is_logged",
        "_method",
        "_rights",
        "_scope",
        "_span",
        "_started_at",
        "id",
        "path",
        "rule",
    )
    _id_prefix, _id_numbers = secrets.token_hex(4), count(1)

    def __init__(self, guard: Guard, scope: Scope, path: str) -> None:
        self._guard = guard
        self._scope: Scope = scope
        self._started_at = guard.clock.monotonic()
        self.id = f"{self._id_prefix}-{next(self._id_numbers):x}"
        self._method: str = scope["method"]
        # Initial values. The checks of the request determine the rights and the address, and `start_response` copies
        # both from the scope.
        self._rights = _NO_RIGHTS
        self._address = ""
        # Whether the server has logged the start of the stream. If so, it also logs the end.
        self._is_logged = False
        self.path = path
        self.rule: Rule | None = None
        self._span: RequestSpan | None = None
        if guard.tracing is not None and f"GET {path}" not in PROBE_CALLS:
            self._span = guard.tracing.start_request(self._method, _trace_headers(scope))

    def activate(self) -> None:
        """Assign the log lines and the spans of the present task to this request."""
        request_id.set(self.id)
        if self._span is not None:
            self._span.activate()

    @contextmanager
    def active(self) -> Iterator[None]:
        """Assign the log lines and the spans of the `with` block to this request. No other request may be active."""
        self.activate()
        try:
            yield
        finally:
            request_id.set(None)
            if self._span is not None:
                self._span.deactivate()

    def start_response(
        self, status: int, headers: Iterable[tuple[bytes, bytes]], route: object = None, *, ends_span: bool = True
    ) -> list[tuple[bytes, bytes]]:
        """Log and count the response. Return its headers, including the common headers.

        `route` is the FastAPI route that answers the request, or None if no such route answers. Also end the
        span of the request if `ends_span` is true. Otherwise, the caller must call `end_span`.
        """
        self._rights = self._scope["state"].get("rights", _NO_RIGHTS)
        self._address = client_address(self._scope)
        headers = [*headers]
        # Forbid caches to store the answer, because it may be private. A route can permit it with its own header.
        if b"cache-control" not in [name for name, _ in headers]:
            headers.append((b"cache-control", b"no-store"))
        headers += [(b"x-request-id", self.id.encode()), *SECURITY_HEADERS, *head_headers(self._scope)]
        headers += self._guard.cors.response_headers(self._scope)
        if status in _DENIED_STATUSES:
            self._guard.denied_by_status[status] += 1
        duration_ns = round((self._guard.clock.monotonic() - self._started_at) * 1e9)
        trace_id = None if self._span is None else self._span.trace_id
        exemplar = None if trace_id is None else Exemplar(trace_id, duration_ns, self._guard.clock.now())
        template = self._guard.request_metrics.record(self._method, self.path, route, status, duration_ns, exemplar)
        self._log_response(status)
        if self._span is not None:
            self._span.describe(self._method, template, status, self.id)
            if ends_span:
                self.end_span()
        return headers

    def end_span(self) -> None:
        """End the span of the request, if it is still open.

        The span of a stream request ends when the stream is open, not when the stream ends.
        """
        if self._span is not None:
            self._span.end()

    def release_request(self) -> None:
        """Delete the reference to the request. Afterwards, only `log_stream_end` may be called, possibly days later."""
        self._scope = _NO_REQUEST

    def log_stream_end(self, close_reason: CloseReason) -> None:
        """Log the end of a stream, with its duration in the member `ms`."""
        if self._is_logged and log.isEnabledFor(logging.INFO):
            line = {**self._describe_request(200), "closed": close_reason}
            log_fields(log, logging.INFO, line)

    def _log_response(self, status: int) -> None:
        call = f"{'GET' if self._method == 'HEAD' else self._method} {self.path}"
        level = logging.INFO
        if call in STREAM_CALLS and status == 200:
            is_omitted = not self._guard.stream_log_limiter.try_consume(STREAM_PATH, self._started_at)
            self._is_logged = not is_omitted or log.isEnabledFor(logging.DEBUG)
        else:
            is_omitted = call in PROBE_CALLS or (call == PUBLISH_CALL and status < 400)
        if is_omitted:
            self._guard.unlogged_by_call[call] += 1
            level = logging.DEBUG
        audit_log, action = self._guard.audit_log, self.rule and self.rule.audit_action
        # The audit log omits unauthenticated requests. Otherwise, anybody could fill the disk with log lines.
        is_audited = audit_log is not None and action is not None and status != 401
        if not is_audited and not log.isEnabledFor(level):
            return
        line = self._describe_request(status)
        log_fields(log, level, line)
        if audit_log is not None and is_audited:
            details = safe_details(self._scope["state"].get("audit", {}))
            self._append_audit_line({"ts": self._guard.clock.now() // 1000, "action": action, **line, "what": details})

    def _append_audit_line(self, line: dict[str, Any]) -> None:
        state, guard = self._scope["state"], self._guard
        assert guard.audit_log is not None  # noqa: S101  # checked by the caller
        assert guard.repeated_requests is not None  # noqa: S101  # exists with the audit log
        rights: Rights = state.get("rights", _NO_RIGHTS)
        # Limit the audit lines of requests that change nothing, because no other limit applies to such requests. Do not
        # limit the lines of admins.
        if rights.has_scope("admin") or (line["status"] < 400 and not state.get("is_unchanged")):
            guard.audit_log.append(line)
        else:
            guard.repeated_requests.append(rights.principal or client_network(self._scope), line)

    def _describe_request(self, status: int) -> dict[str, Any]:
        """Return the log record of a request. Every text from the client has a bounded length and is escaped.

        The record contains only the path of the URL, because the query string may contain a token.
        """
        rights = self._rights
        trace = None if self._span is None else self._span.trace_id
        return {
            "id": self.id,
            **({} if trace is None else {"trace": trace}),
            "method": _safe_name(self._method),
            "path": _safe_name(self.path),
            "status": status,
            "ms": round((self._guard.clock.monotonic() - self._started_at) * 1000, 2),
            "subject": _safe_name(rights.user),
            "token": _safe_name(rights.token),
            "address": _safe_name(self._address or None),
        }


def _trace_headers(scope: Scope) -> dict[str, str]:
    """Return the headers that name the trace and the span of the client."""
    found = {name: first_header_value(scope, name.encode()) for name in _TRACE_HEADERS}
    return {name: value for name, value in found.items() if value is not None}


def _safe_name(name: str | None) -> str | None:
    if name is None:
        return None
    return safe_text(name) if len(name) > MAX_FIELD_BYTES else _safe_short_text(name)


def _renew_id_prefix() -> None:
    """Choose another prefix for the ids of requests in a forked process, because its parent process may continue."""
    Exchange._id_prefix = secrets.token_hex(4)


os.register_at_fork(after_in_child=_renew_id_prefix)


# Cache the escaped texts, because most requests have one of a few methods, paths, users and addresses.
@lru_cache(maxsize=4096)
def _safe_short_text(text: str) -> str:
    return safe_text(text)


class ResponseSender:
    """An ASGI `send` callable.

    The sender adds the common headers to a response, and sends the head and the body in one write if the length of the
    body is known.
    """

    __slots__ = ("_exchange", "_held_head", "_scope", "_send")

    def __init__(self, exchange: Exchange, scope: Scope, send: Send) -> None:
        self._exchange = exchange
        self._scope = scope
        self._send = send
        # The head of a response whose length is known. The sender keeps the head, and sends it together with the body.
        self._held_head: MutableMapping[str, Any] | None = None

    async def __call__(self, message: MutableMapping[str, Any]) -> None:
        """Send one ASGI message of the response. Add the common headers to the message that starts the response."""
        if message["type"] == "http.response.start":
            headers = self._exchange.start_response(
                message["status"], message.get("headers", ()), self._scope.get("route")
            )
            message = {**message, "headers": headers}
            if b"content-length" in [name for name, _ in headers]:
                self._held_head = message
                return
        if self._held_head is None:
            await self._send(message)
        else:
            head, self._held_head = self._held_head, None
            await send_in_one_write(self._send, head, message)
        # Only a stream has a close reason, and only after its end.
        if "close_reason" in self._scope["state"] and not message.get("more_body"):
            self._exchange.log_stream_end(self._scope["state"]["close_reason"])
