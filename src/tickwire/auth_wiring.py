"""Create the guard from the settings. The guard runs the security checks before every HTTP request."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path

from tickwire.errors import SettingsError
from tickwire.runtime.runtime import Runtime
from tickwire.server.auth.access import AccessPolicy, OpenAccess, TokenAccess
from tickwire.server.auth.jwks import JwksKeySource
from tickwire.server.auth.keys import FixedKeySource, KeySource, key_from_file, key_from_secret
from tickwire.server.auth.tickets import Tickets
from tickwire.server.auth.tokens import TokenVerifier
from tickwire.server.middleware.audit import AuditLog
from tickwire.server.middleware.cors import Cors
from tickwire.server.middleware.guard import Guard
from tickwire.server.middleware.host_check import HostCheck
from tickwire.server.middleware.journal_writes import JournalWriteLimiter
from tickwire.server.middleware.rate_limiter import RateLimiter
from tickwire.server.transport.proxies import TrustedProxies
from tickwire.settings import Settings

AUDIT_OFF = "off"


def create_guard(settings: Settings, runtime: Runtime) -> Guard:
    """Return the guard that checks every request. Raise SettingsError if the settings contradict each other."""
    proxies = TrustedProxies(settings.trusted_proxies)
    tickets, tokens, journal_writes = None, None, JournalWriteLimiter()
    if settings.auth != "none":
        tokens = _create_token_verifier(settings, runtime)
        tickets = Tickets(_ticket_secrets(settings), runtime.publish, runtime.clock, journal_writes.charge)
    return Guard(
        clock=runtime.clock,
        access=_create_access_policy(settings, runtime, proxies, tokens, tickets),
        tickets=tickets,
        token_verifier=tokens,
        journal_writes=journal_writes,
        proxies=proxies,
        host_check=HostCheck(settings.hosts, enabled=settings.auth == "none" and _is_loopback(settings.host)),
        cors=Cors(settings.cors, allow_credentials=bool(settings.auth_cookie)),
        request_limiter=RateLimiter(settings.max_requests, "requests"),
        stream_limiter=RateLimiter(settings.max_connects, "streams"),
        audit_log=_open_audit_log(settings),
        tracing=runtime.tracing,
    )


def replace_keys(guard: Guard, settings: Settings, runtime: Runtime) -> None:
    """Verify tokens and tickets with the keys in `settings` from now on. Raise SettingsError if a key is not valid.

    Streams that are open stay open until their tokens expire.
    """
    verifier = guard.token_verifier
    if verifier is None or guard.tickets is None:
        return
    if isinstance(verifier.key_source, JwksKeySource):
        # Without the cached keys, no token would be valid while the issuer is unavailable.
        verifier.key_source.refresh_soon()
    else:
        verifier.replace_key_source(_create_key_source(settings, runtime))
    guard.tickets.replace_secrets(_ticket_secrets(settings))


def check_keys(settings: Settings) -> None:
    """Raise SettingsError if a key in `settings` is not valid."""
    _load_keys(settings)


def check_exposure(settings: Settings) -> None:
    """Raise SettingsError if other machines can connect to the server and the server requires no authentication.

    The setting `insecure` turns this check off.
    """
    if settings.auth == "none" and not settings.insecure and not _is_loopback(settings.host):
        raise SettingsError(
            f"without --auth, anyone who can connect to {settings.host!r} can read, publish and evict readers: choose "
            "--auth secret, key or jwks, listen on 127.0.0.1, or add --insecure if a proxy or firewall "
            "protects the port",
            field="host",
        )


def _create_access_policy(
    settings: Settings,
    runtime: Runtime,
    proxies: TrustedProxies,
    tokens: TokenVerifier | None,
    tickets: Tickets | None,
) -> AccessPolicy:
    if tokens is None or tickets is None:
        if settings.user_header and not settings.trusted_proxies:
            raise SettingsError(
                "--user-header needs a trusted proxy: set its network with --trusted-proxies", field="user_header"
            )
        return OpenAccess(settings.user_header, proxies, is_exposure_expected=settings.insecure)
    is_revoked = runtime.hub.reader_admin.registry.revoked_tokens.is_revoked
    return TokenAccess(
        tokens, tickets, is_revoked, cookie_name=settings.auth_cookie, allow_query_token=settings.auth_query
    )


def _create_token_verifier(settings: Settings, runtime: Runtime) -> TokenVerifier:
    return TokenVerifier(
        _create_key_source(settings, runtime),
        runtime.clock,
        issuer=settings.auth_issuer,
        audience=settings.auth_audience,
        leeway_s=settings.auth_leeway,
        max_lifetime_s=settings.auth_max_age,
    )


def _create_key_source(settings: Settings, runtime: Runtime) -> KeySource:
    return _load_keys(settings) or JwksKeySource(settings.auth_jwks_url, runtime.clock)


def _load_keys(settings: Settings) -> FixedKeySource | None:
    """Return the keys in the settings, or None if the server fetches its keys or requires no tokens."""
    if settings.auth == "secret":
        keys = [key_from_secret(settings.auth_secret)]
        if settings.auth_secret_previous:
            keys.append(key_from_secret(settings.auth_secret_previous, field="auth_secret_previous"))
        return FixedKeySource(*keys)
    if settings.auth == "key":
        return FixedKeySource(key_from_file(Path(settings.auth_key_file)))
    return None


def _ticket_secrets(settings: Settings) -> list[str]:
    """Return the secrets that sign tickets. The first secret signs new tickets."""
    if settings.ticket_secret:
        return [settings.ticket_secret]
    return [secret for secret in (settings.auth_secret, settings.auth_secret_previous) if secret]


def _open_audit_log(settings: Settings) -> AuditLog | None:
    """Open the audit log, or return None if the server writes no audit log.

    The setting `audit` names the file or turns the audit log off. If `audit` is not set, the setting `journal` decides:
    without `journal`, the file is audit.jsonl in the data folder; with `journal`, there is no audit log.
    """
    if settings.audit == AUDIT_OFF or (not settings.audit and settings.journal):
        return None
    path = Path(settings.audit) if settings.audit else settings.data / "audit.jsonl"
    return AuditLog(path, settings.audit_bytes, settings.audit_files)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
