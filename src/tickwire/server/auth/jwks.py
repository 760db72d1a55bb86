"""Fetch verification keys from an issuer's JSON Web Key Set (RFC 7517), and refresh them regularly."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import httpx2
import msgspec

from tickwire.clock import Clock
from tickwire.core.codec import decode_json
from tickwire.errors import SettingsError
from tickwire.redaction import redact_address
from tickwire.server.auth.keys import VerificationKey, key_from_public_key
from tickwire.server.http_errors import AuthUnavailable, Unauthorized

log = logging.getLogger(__name__)

# When the cached key set is older than this time, a background task fetches the key set again. Cached keys stay valid
# during the fetch.
REFRESH_INTERVAL_S = 300.0
# The minimum time between two fetches. Without this minimum, clients could flood the issuer with requests by sending
# tokens with invented key ids.
MIN_FETCH_INTERVAL_S = 10.0
# The maximum duration of a whole fetch. Requests with an unknown key id wait for the fetch. The limit applies to the
# whole fetch, because a timeout for each read would not end a fetch from an issuer that sends one byte a second.
FETCH_TIMEOUT_S = 5.0
# The maximum size of a key set. The limit is large enough for a hundred RSA keys with their certificates.
MAX_KEY_SET_BYTES = 1024 * 1024
_MAX_KEYS = 100
_LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "::1")


class JwksKeySource:
    """Finds keys in the key set at `url`. The key source fetches the key set on first use, and caches it.

    A cached key stays valid while the issuer is unavailable. A token with an unknown key id causes a new fetch, but at
    most one fetch in MIN_FETCH_INTERVAL_S seconds. If the key is still unknown, `find` raises Unauthorized (401). If
    the last fetch failed, `find` raises AuthUnavailable (503) instead.
    """

    def __init__(self, url: str, clock: Clock) -> None:
        if not _is_secure(url):
            raise SettingsError(
                f"insecure key URL {redact_address(url)!r}: use https://, so that nobody on the network can replace "
                "the keys",
                field="auth_jwks_url",
            )
        self._url = url
        # Trust the certificates of the operating system, which may include the issuer's own certificate authority. Load
        # these certificates only once, because loading takes about 80 ms.
        self._tls = ssl.create_default_context()
        self._clock = clock
        self._keys: dict[str | None, VerificationKey] = {}
        self._last_fetch_at = -REFRESH_INTERVAL_S  # The time of the last fetch, in monotonic seconds.
        self._fetch_error: str | None = None
        self._fetch_lock = asyncio.Lock()
        self._refresh_task: asyncio.Task[None] | None = None

    async def find(self, key_id: str | None) -> Sequence[VerificationKey]:
        """Return a tuple with one key: the key with this id, or the only key if the id is None."""
        key = self._cached_key(key_id)
        if key is not None:
            self._refresh_if_stale()
            return (key,)
        await self._refresh_keys()
        key = self._cached_key(key_id)
        if key is not None:
            return (key,)
        if self._fetch_error is not None:
            raise AuthUnavailable(f"the token issuer's keys cannot be fetched: {self._fetch_error}")
        raise Unauthorized(
            "unknown key id (kid) in the token: the key set of the token's issuer does not contain this key"
        )

    def _cached_key(self, key_id: str | None) -> VerificationKey | None:
        if key_id is None and len(self._keys) == 1:
            return next(iter(self._keys.values()))
        return self._keys.get(key_id)

    def refresh_soon(self) -> None:
        """Fetch the keys in a background task. The cached keys stay valid until the fetch succeeds."""
        if self._refresh_task is None or self._refresh_task.done():
            self._refresh_task = asyncio.create_task(self._refresh_keys())

    def _refresh_if_stale(self) -> None:
        if self._clock.monotonic() - self._last_fetch_at >= REFRESH_INTERVAL_S:
            self.refresh_soon()

    async def _refresh_keys(self) -> None:
        """Fetch the keys, unless the last fetch was less than MIN_FETCH_INTERVAL_S seconds ago."""
        async with self._fetch_lock:
            if self._clock.monotonic() - self._last_fetch_at < MIN_FETCH_INTERVAL_S:
                return
            self._last_fetch_at = self._clock.monotonic()
            try:
                self._keys = await _fetch_key_set(self._url, self._tls)
                self._fetch_error = None
            except AuthUnavailable as error:
                self._fetch_error = str(error)
                log.warning("cannot fetch the token issuer's keys from %s: %s", redact_address(self._url), error)
            except (
                Exception
            ) as error:  # Catch all errors at this task boundary, because no code awaits the background task.
                self._fetch_error = type(error).__name__
                log.exception("cannot fetch the token issuer's keys from %s", redact_address(self._url))


def _is_secure(url: str) -> bool:
    """Return True if nobody on the network can replace the response from `url`."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK_HOSTS)


async def _check_redirect(request: httpx2.Request) -> None:
    if not _is_secure(str(request.url)):
        raise AuthUnavailable("the token issuer redirects to a URL without https")


async def _fetch_key_set(url: str, tls: ssl.SSLContext) -> dict[str | None, VerificationKey]:
    """Fetch the key set. Return a mapping from key id to supported key.

    Raise AuthUnavailable if the fetch fails, takes too long or returns too many bytes.
    """
    try:
        async with asyncio.timeout(FETCH_TIMEOUT_S):
            document = await _fetch_document(url, tls)
            # Parse the keys in a thread, because an issuer can send keys that take long to parse.
            return await asyncio.to_thread(_parse_key_set, document)
    except TimeoutError:
        raise AuthUnavailable(f"the token issuer did not send its keys within {FETCH_TIMEOUT_S:g} s") from None
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
        raise AuthUnavailable(type(error).__name__) from None


async def _fetch_document(url: str, tls: ssl.SSLContext) -> bytes:
    # Request no compression, because a compressed response could exceed MAX_KEY_SET_BYTES after decompression.
    headers = {"accept": "application/json", "accept-encoding": "identity"}
    hooks = {"request": [_check_redirect]}
    async with (
        # Set no timeouts for the steps of the request, because FETCH_TIMEOUT_S limits the whole fetch.
        httpx2.AsyncClient(verify=tls, timeout=None, headers=headers, follow_redirects=True, event_hooks=hooks) as http,
        http.stream("GET", url) as response,
    ):
        if not response.is_success:
            raise AuthUnavailable(f"the token issuer answered with status {response.status_code}")
        return await _read_body(response)


async def _read_body(response: httpx2.Response) -> bytes:
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > MAX_KEY_SET_BYTES:
            raise AuthUnavailable(f"the key set is larger than {MAX_KEY_SET_BYTES:,} bytes")
    return bytes(body)


def _parse_key_set(document: bytes) -> dict[str | None, VerificationKey]:
    """Return a mapping from key id to supported key. Raise AuthUnavailable if the document is not a key set."""
    # Import the module only here, because the import takes 60 ms and most servers do not need the module.
    import jwt

    try:
        entries = decode_json(document, dict[str, Any])["keys"][:_MAX_KEYS]
    except (msgspec.MsgspecError, KeyError, TypeError, RecursionError) as error:
        raise AuthUnavailable(f"the response of the token issuer is not a key set ({type(error).__name__})") from None
    keys: dict[str | None, VerificationKey] = {}
    for entry in entries:
        try:
            if entry.get("use", "sig") == "sig":
                keys[entry.get("kid")] = key_from_public_key(jwt.PyJWK(entry).key)
        # Skip unsupported kinds of keys, such as shared secrets. An issuer must not publish a shared secret.
        except (jwt.PyJWTError, Unauthorized, ValueError, KeyError, TypeError, AttributeError):
            continue
    return keys
