"""Keys that an issuer publishes as a JSON Web Key Set (RFC 7517), and changes now and then."""

from __future__ import annotations

import asyncio
import logging
from urllib.parse import urlsplit

from tickwire.clock import Clock
from tickwire.errors import SettingsError
from tickwire.server.keys import Key, public_key
from tickwire.server.refusal import Unauthorized, Unavailable

log = logging.getLogger(__name__)

FRESH_SECONDS = 300.0  # then it is looked whether there are others; those that are known go on meanwhile
AGAIN_SECONDS = 10.0  # between two looks: tokens with made-up key ids must not make us ask the issuer all the time
_TIMEOUT_SECONDS = 5
_MOST_KEYS = 100
_LOCAL = ("localhost", "127.0.0.1", "::1")


class Jwks:
    """The keys at `url`, read in a thread when they are wanted and kept.

    A key that is known works on while the issuer cannot be reached. One that is not known makes us look anew, at most
    every AGAIN_SECONDS: tokens are refused if it is not there (401), and put off if that cannot be said (503).
    """

    def __init__(self, url: str, clock: Clock) -> None:
        parts = urlsplit(url)
        if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOCAL):
            raise SettingsError(
                f"the keys' URL {url!r} has to begin with https://, or whoever is on the way could put in others",
                field="auth_jwks_url",
            )
        self._url = url
        self._clock = clock
        self._keys: dict[str | None, Key] = {}
        self._asked_at = -FRESH_SECONDS  # monotonic: when we looked last
        self._failed: str | None = None
        self._turn = asyncio.Lock()
        self._refresh: asyncio.Task[None] | None = None

    async def find(self, key_id: str | None) -> Key:
        """The key of this id; without an id, the only one there is."""
        known = self._known(key_id)
        if known is not None:
            self._look_again_later()
            return known
        await self._look()
        known = self._known(key_id)
        if known is not None:
            return known
        if self._failed is not None:
            raise Unavailable(f"the keys of the tokens' issuer cannot be read now: {self._failed}")
        raise Unauthorized("the token names a key that its issuer does not have")

    def _known(self, key_id: str | None) -> Key | None:
        if key_id is None and len(self._keys) == 1:
            return next(iter(self._keys.values()))
        return self._keys.get(key_id)

    def _look_again_later(self) -> None:
        due = self._clock.monotonic() - self._asked_at >= FRESH_SECONDS
        if due and (self._refresh is None or self._refresh.done()):
            self._refresh = asyncio.create_task(self._look())

    async def _look(self) -> None:
        """Read the keys, unless somebody has just done so."""
        async with self._turn:
            if self._clock.monotonic() - self._asked_at < AGAIN_SECONDS:
                return
            self._asked_at = self._clock.monotonic()
            try:
                self._keys = await asyncio.to_thread(_read, self._url)
                self._failed = None
            except Unavailable as error:
                self._failed = str(error)
                log.warning("the keys at %s: %s", self._url, error)


def _read(url: str) -> dict[str | None, Key]:
    """The keys of a set, by id, as far as they are of a kind that tokens are signed with here."""
    import jwt  # see Tokens

    try:
        document = jwt.PyJWKClient(url, cache_jwk_set=False, timeout=_TIMEOUT_SECONDS).fetch_data()
        given = document["keys"][:_MOST_KEYS]
    except (jwt.PyJWTError, ValueError, KeyError, TypeError, OSError) as error:
        raise Unavailable(f"{type(error).__name__}") from None
    found: dict[str | None, Key] = {}
    for each in given:
        try:
            if each.get("use", "sig") == "sig":
                found[each.get("kid")] = public_key(jwt.PyJWK(each).key)
        except (jwt.PyJWTError, Unauthorized, ValueError, KeyError, TypeError, AttributeError):
            continue  # of another kind: secrets among them, which nobody should publish
    return found
