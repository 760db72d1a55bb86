"""Access rules: a table of the rights that each API call requires.

A server that requires tokens rejects every call that is not in the table. A rule whose path ends in a slash applies to
every path below that path.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

from tickwire.sessions.rights import TokenScope

Requirement: TypeAlias = Literal["nothing", "optional token", "token"] | TokenScope


class Rule(NamedTuple):
    """The rights that an API call requires, and the name of the call in the audit log.

    `requirement` is a scope, "token" for any token, or "nothing". With "optional token", the server answers every
    client, and its answer to a client with a valid token contains more. `required_event_kind` is a kind of event that
    the token must also allow. `audit_action` is None for calls that are not written to the audit log.
    """

    requirement: Requirement
    required_event_kind: str | None = None
    audit_action: str | None = None


STREAM_PATH = "/v1/stream"
STREAM_METHODS = ("GET", "QUERY")
"""The methods that open a stream. QUERY (RFC 10008) is a GET with a body."""
HEALTH_PATHS = ("/healthz", "/readyz")
_METHODS = ("GET", "HEAD", "QUERY", "POST", "PUT", "PATCH", "DELETE")
PUBLIC = Rule("nothing")
"""The rule of pages and health checks, which require no token."""
_ANY_TOKEN = Rule("token")

RULES: dict[tuple[str, str], Rule] = {
    ("GET", "/"): PUBLIC,
    ("GET", "/app/"): PUBLIC,
    ("GET", "/docs"): PUBLIC,
    ("GET", "/openapi.json"): PUBLIC,
    ("GET", "/asyncapi.json"): PUBLIC,
    ("GET", "/healthz"): PUBLIC,
    ("GET", "/readyz"): PUBLIC,
    # With this call, a client can find out that a proxy removes the header with its token. The answer to a client
    # without a valid token contains what the client and the proxies have sent, and whether the server trusts the last
    # proxy. The answer omits the client's address, because this may be the internal address of a proxy.
    ("GET", f"{STREAM_PATH}/request"): Rule("optional token"),
    ("GET", "/metrics"): Rule("metrics"),
    # Any token may open a stream. The stream endpoint then restricts the subscription to the rights of the token.
    ("GET", STREAM_PATH): _ANY_TOKEN,
    ("QUERY", STREAM_PATH): _ANY_TOKEN,
    ("GET", "/v1/quotes"): Rule("token", required_event_kind="quote"),
    ("GET", "/v1/quotes/"): Rule("token", required_event_kind="quote"),
    ("POST", "/v1/quotes"): Rule("publish", audit_action="publish"),
    ("GET", "/v1/uploads/"): Rule("publish"),
    ("POST", "/v1/uploads/"): Rule("publish", audit_action="publish"),
    ("POST", "/v1/corrections"): Rule("publish", audit_action="correct"),
    ("POST", "/v1/halts"): Rule("publish", audit_action="halt"),
    ("GET", "/v1/instruments"): _ANY_TOKEN,
    ("GET", "/v1/candles/"): Rule("token", required_event_kind="candle"),
    ("POST", "/v1/screens/check"): Rule("token", required_event_kind="quote"),
    ("POST", "/v1/subscriptions"): _ANY_TOKEN,
    ("POST", "/v1/tickets"): _ANY_TOKEN,
    ("GET", "/v1/whoami"): _ANY_TOKEN,
    ("POST", "/v1/messages"): Rule("messages", audit_action="message"),
    ("GET", "/v1/simulator"): Rule("token", required_event_kind="status"),
    ("POST", "/v1/simulator"): Rule("admin", audit_action="simulator"),
    ("GET", "/v1/simulator/model"): Rule("admin"),
    ("PUT", "/v1/simulator/model"): Rule("admin", audit_action="model"),
    ("PUT", "/v1/simulator/scenario"): Rule("admin", audit_action="scenario"),
    ("DELETE", "/v1/simulator/scenario"): Rule("admin", audit_action="scenario"),
    ("GET", "/v1/operations"): Rule("admin"),
    ("GET", "/v1/cluster"): Rule("admin"),
    ("GET", "/v1/clients"): Rule("admin"),
    ("DELETE", "/v1/clients"): Rule("admin", audit_action="revoke"),
    # Any token may call these routes. With these routes, a user can manage only the user's own clients. An admin can
    # manage all clients.
    ("GET", "/v1/clients/"): _ANY_TOKEN,
    ("PATCH", "/v1/clients/"): Rule("token", audit_action="change"),
    ("DELETE", "/v1/clients/"): Rule("token", audit_action="evict"),
}


def rule_for(method: str, path: str) -> Rule | None:
    """Return the access rule of an API call. Return None if the table of access rules does not contain the call.

    HEAD has the rule of GET. Every client may send OPTIONS to list the methods of a path in the table.
    """
    if method == "OPTIONS":
        # The path * stands for the whole server (RFC 9110, section 9.3.7). Some load balancers use this path for health
        # checks.
        return PUBLIC if path == "*" or allowed_methods(path) else None
    method = "GET" if method == "HEAD" else method
    return RULES.get((method, path)) or _find_prefix_rule(method, path)


def allowed_methods(path: str) -> list[str]:
    """Return the HTTP methods for which the table of access rules contains this path."""
    methods = [method for method in _METHODS if rule_for(method, path)]
    return [*methods, "OPTIONS"] if methods else []


def _find_prefix_rule(method: str, path: str) -> Rule | None:
    for (rule_method, prefix), rule in RULES.items():
        if rule_method == method and prefix.endswith("/") and prefix != "/" and path.startswith(prefix):
            return rule
    return None
