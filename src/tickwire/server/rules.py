"""What each call needs: the one table of who may do what.

A call that it does not name is refused where tokens are asked for. Paths that end in a slash stand for everything
below them.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

from tickwire.hub.rights import Scope

Needed: TypeAlias = Literal["nothing", "token"] | Scope


class Rule(NamedTuple):
    """`needs` is a scope, any token, or nothing; `event` a kind of event that the token must allow to be seen as well.

    `audit` is the word under which such calls are put down in the audit log.
    """

    needs: Needed
    event: str | None = None
    audit: str | None = None


_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
PUBLIC = Rule("nothing")
"""Of what anybody may see: pages, and how the server is."""
_TOKEN = Rule("token")

RULES: dict[tuple[str, str], Rule] = {
    ("GET", "/"): PUBLIC,
    ("GET", "/app/"): PUBLIC,  # the page's scripts and styles
    ("GET", "/docs"): PUBLIC,
    ("GET", "/openapi.json"): PUBLIC,
    ("GET", "/healthz"): PUBLIC,
    ("GET", "/readyz"): PUBLIC,
    ("GET", "/metrics"): Rule("metrics"),
    ("GET", "/v1/stream"): _TOKEN,  # narrowed to the rights
    ("GET", "/v1/quotes"): Rule("token", event="quote"),
    ("GET", "/v1/quotes/"): Rule("token", event="quote"),
    ("POST", "/v1/quotes"): Rule("publish", audit="publish"),
    ("GET", "/v1/instruments"): _TOKEN,
    ("GET", "/v1/candles/"): Rule("token", event="candle"),
    ("POST", "/v1/screens/check"): Rule("token", event="quote"),
    ("POST", "/v1/subscriptions"): _TOKEN,
    ("POST", "/v1/tickets"): _TOKEN,
    ("GET", "/v1/whoami"): _TOKEN,
    ("POST", "/v1/messages"): Rule("messages", audit="message"),
    ("GET", "/v1/simulator"): _TOKEN,
    ("POST", "/v1/simulator"): Rule("admin", audit="simulator"),
    ("GET", "/v1/simulator/model"): Rule("admin"),
    ("PUT", "/v1/simulator/model"): Rule("admin", audit="model"),
    ("PUT", "/v1/simulator/scenario"): Rule("admin", audit="scenario"),
    ("DELETE", "/v1/simulator/scenario"): Rule("admin", audit="scenario"),
    ("GET", "/v1/operations"): Rule("admin"),
    ("GET", "/v1/clients"): Rule("admin"),
    ("DELETE", "/v1/clients"): Rule("admin", audit="revoke"),
    ("GET", "/v1/clients/"): _TOKEN,  # one's own; an admin's are everybody's
    ("PATCH", "/v1/clients/"): Rule("token", audit="change"),
    ("DELETE", "/v1/clients/"): Rule("token", audit="evict"),
}


def rule_for(method: str, path: str) -> Rule | None:
    """The rule of a call; None where there is none."""
    method = "GET" if method == "HEAD" else method
    return RULES.get((method, path)) or _below(method, path)


def methods_of(path: str) -> list[str]:
    """The methods for which this path has rules."""
    return [method for method in _METHODS if rule_for(method, path)]


def _below(method: str, path: str) -> Rule | None:
    for (known, prefix), rule in RULES.items():
        if known == method and prefix.endswith("/") and prefix != "/" and path.startswith(prefix):
            return rule
    return None
