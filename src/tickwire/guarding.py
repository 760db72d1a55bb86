"""From the settings to who gets in: what stands before every request."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path

from tickwire.errors import SettingsError
from tickwire.runtime import Runtime
from tickwire.server.access import Access, OpenAccess, TokenAccess
from tickwire.server.audit import Audit
from tickwire.server.cors import Cors
from tickwire.server.guard import Guard
from tickwire.server.hosts import Hosts
from tickwire.server.jwks import Jwks
from tickwire.server.keys import Keys, OneKey, file_key, secret_key
from tickwire.server.proxies import Proxies
from tickwire.server.rates import Rates
from tickwire.server.tickets import Tickets
from tickwire.server.tokens import Tokens
from tickwire.settings import Settings

OFF = "off"


def make_guard(settings: Settings, runtime: Runtime) -> Guard:
    """The guard that the settings describe; SettingsError where they contradict each other."""
    proxies = Proxies(settings.trusted_proxies)
    tickets = None
    if settings.auth != "none":
        tickets = Tickets(settings.ticket_secret or settings.auth_secret, runtime.publish, runtime.clock)
    return Guard(
        clock=runtime.clock,
        access=_access(settings, runtime, proxies, tickets),
        tickets=tickets,
        proxies=proxies,
        hosts=Hosts(settings.hosts, on=settings.auth == "none" and _is_loopback(settings.host)),
        cors=Cors(settings.cors, credentials=bool(settings.auth_cookie)),
        requests=Rates(settings.max_requests, "requests"),
        connects=Rates(settings.max_connects, "streams"),
        audit=_audit(settings),
    )


def check_exposure(settings: Settings) -> None:
    """SettingsError where everybody who reaches the port could do everything, and it is not only this machine's own."""
    if settings.auth == "none" and not settings.insecure and not _is_loopback(settings.host):
        said = (
            f"without --auth, everybody who reaches {settings.host} can read, publish and send readers away: choose "
            "--auth secret, key or jwks, listen on 127.0.0.1, or say --insecure if something else keeps others out"
        )
        raise SettingsError(said, field="host")


def _access(settings: Settings, runtime: Runtime, proxies: Proxies, tickets: Tickets | None) -> Access:
    if tickets is None:
        if settings.user_header and not settings.trusted_proxies:
            said = "--user-header is only believed from a proxy: name its network with --trusted-proxies"
            raise SettingsError(said, field="user_header")
        return OpenAccess(settings.user_header, proxies)
    tokens = Tokens(
        _keys(settings, runtime),
        runtime.clock,
        issuer=settings.auth_issuer,
        audience=settings.auth_audience,
        leeway=settings.auth_leeway,
        lifetime=settings.auth_max_age,
    )
    refused = runtime.hub.control.ledger.revoked.refuses
    return TokenAccess(tokens, tickets, refused, cookie=settings.auth_cookie, query=settings.auth_query)


def _keys(settings: Settings, runtime: Runtime) -> Keys:
    if settings.auth == "secret":
        return OneKey(secret_key(settings.auth_secret))
    if settings.auth == "key":
        return OneKey(file_key(Path(settings.auth_key_file)))
    return Jwks(settings.auth_jwks_url, runtime.clock)


def _audit(settings: Settings) -> Audit | None:
    """In the data folder, where that is in use anyway; a server that leaves nothing behind leaves no log either."""
    if settings.audit == OFF or (not settings.audit and settings.journal):
        return None
    return Audit(Path(settings.audit) if settings.audit else settings.data / "audit.jsonl")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
