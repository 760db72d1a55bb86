"""Verify JSON Web Tokens (RFC 7519)."""

from __future__ import annotations

import contextlib
import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from tickwire.clock import Clock
from tickwire.core.timestamps import format_duration
from tickwire.errors import InputError
from tickwire.server.auth.claims import read_numeric_date, rights_from_claims
from tickwire.server.auth.keys import KeySource, VerificationKey
from tickwire.server.http_errors import Unauthorized
from tickwire.sessions.rights import Rights

# The maximum length of a token. A token of this length can list several hundred symbols. The server rejects a longer
# token without parsing it.
MAX_TOKEN_BYTES = 8 * 1024
# The maximum number of tokens whose rights are cached, because clients send the same token with every request. An entry
# occupies about 1 KB.
_MAX_CACHED_TOKENS = 10_000
# The maximum time that a cached token stays valid after the issuer has withdrawn the token's key.
_MAX_CACHE_AGE_S = 60.0
_MAX_KEY_ID_LENGTH = 256


class _CachedRights(NamedTuple):
    rights: Rights
    valid_until: float


class TokenVerifier:
    """Verifies tokens and returns the rights in their claims.

    If `issuer` is not empty, a token must name this issuer. If `audience` is not empty, a token must name this
    audience. `leeway_s` is the tolerated difference between the clocks of the issuer and the server.

    The server never accepts a token whose times `iat` and `exp` are more than `max_lifetime_s` seconds apart. So the
    server can forget a revocation after a fixed time, because every revoked token has expired by then.
    """

    def __init__(
        self,
        key_source: KeySource,
        clock: Clock,
        *,
        issuer: str = "",
        audience: str = "",
        leeway_s: float = 0.0,
        max_lifetime_s: float = 30 * 86_400.0,
    ) -> None:
        self.max_lifetime_s = max_lifetime_s
        self.key_source = key_source
        self._clock = clock
        self._issuer = issuer or None
        self._audience = audience or None
        self._leeway_s = leeway_s
        self._cache: OrderedDict[bytes, _CachedRights] = OrderedDict()

    def replace_key_source(self, key_source: KeySource) -> None:
        """Verify tokens only with the keys of this source from now on."""
        self.key_source = key_source
        self._cache.clear()

    async def verify(self, token: str) -> Rights:
        """Return the rights of the token.

        Raise Unauthorized if the token is invalid. Raise AuthUnavailable if the server cannot fetch the token's key.
        """
        if len(token) > MAX_TOKEN_BYTES:
            raise Unauthorized(f"the token is longer than {MAX_TOKEN_BYTES} bytes")
        digest, now = hashlib.sha256(token.encode()).digest(), self._clock.now() / 1e9
        cached = self._cache.get(digest)
        if cached is not None and now < cached.valid_until:
            return cached.rights
        rights = self._validate_claims(await self._verify_signature(token), now)
        if rights.principal is None:
            rights = msgspec.structs.replace(rights, digest=_signed_digest(token))
        self._cache_rights(digest, rights, now)
        return rights

    async def _verify_signature(self, token: str) -> Mapping[str, Any]:
        """Return the claims of the token. Raise Unauthorized if the signature is invalid."""
        # Import the module only here, because the import takes 60 ms and servers without tokens do not need the module.
        import jwt

        try:
            header = jwt.get_unverified_header(token)
            *earlier_keys, last_key = await self.key_source.find(_read_key_id(header))
            if header.get("alg") != last_key.algorithm:
                raise Unauthorized(f"unsupported token algorithm: sign tokens with {last_key.algorithm}")
            for key in earlier_keys:
                with contextlib.suppress(jwt.InvalidSignatureError):
                    return self._decode(token, key)
            return self._decode(token, last_key)
        except jwt.InvalidIssuerError:
            raise Unauthorized("the token's issuer (iss) is not the issuer that this server requires") from None
        except (jwt.InvalidAudienceError, jwt.MissingRequiredClaimError):
            raise Unauthorized("the token's audience (aud) is not the audience that this server requires") from None
        except (jwt.PyJWTError, ValueError, TypeError, KeyError, RecursionError):
            raise Unauthorized("the token is not a JSON Web Token signed with this server's key") from None

    def _decode(self, token: str, key: VerificationKey) -> Mapping[str, Any]:
        import jwt

        claims: dict[str, Any] = jwt.decode(
            token,
            key.material,
            algorithms=[key.algorithm],
            issuer=self._issuer,
            audience=self._audience,
            # Let PyJWT ignore the times, because `_validate_claims` checks them with the server's clock.
            options={"verify_exp": False, "verify_nbf": False, "verify_iat": False},
        )
        return claims

    def _validate_claims(self, claims: Mapping[str, Any], now: float) -> Rights:
        try:
            rights = rights_from_claims(claims)
            not_before = read_numeric_date(claims, "nbf")
        except InputError as error:
            raise Unauthorized(f"invalid claim in the token: {error}", field=error.field) from None
        issued, expires = rights.issued, rights.expires
        if issued is None or expires is None or expires - issued > self.max_lifetime_s:
            raise Unauthorized(
                "invalid token lifetime: a token must have iat and exp, at most "
                f"{format_duration(self.max_lifetime_s)} apart"
            )
        if now >= expires + self._leeway_s:
            raise Unauthorized("the token has expired")
        if any(begin is not None and now < begin - self._leeway_s for begin in (not_before, issued)):
            raise Unauthorized("the token is not valid yet")
        return msgspec.structs.replace(rights, expires=expires + self._leeway_s)

    def _cache_rights(self, token_digest: bytes, rights: Rights, now: float) -> None:
        assert rights.expires is not None  # noqa: S101  # checked just before
        self._cache[token_digest] = _CachedRights(rights, min(rights.expires, now + _MAX_CACHE_AGE_S))
        self._cache.move_to_end(token_digest)
        if len(self._cache) > _MAX_CACHED_TOKENS:
            self._cache.popitem(last=False)


def _signed_digest(token: str) -> str:
    """Return a digest of the signed part of a token.

    The digest does not cover the signature, because a client can change the unused bits at the end of the signature.
    """
    signed = token.rpartition(".")[0]
    return hashlib.sha256(signed.encode()).hexdigest()[:32]


def _read_key_id(header: Mapping[str, Any]) -> str | None:
    key_id = header.get("kid")
    if key_id is not None and (not isinstance(key_id, str) or len(key_id) > _MAX_KEY_ID_LENGTH):
        raise Unauthorized(f"invalid key id (kid): expected at most {_MAX_KEY_ID_LENGTH} characters")
    return key_id
