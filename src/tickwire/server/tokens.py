"""Tokens: JSON Web Tokens (RFC 7519), checked."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, NamedTuple

from tickwire.clock import Clock
from tickwire.core.moment import in_words
from tickwire.errors import InputError
from tickwire.hub.rights import Rights
from tickwire.server.claims import moment, rights_of
from tickwire.server.keys import Keys
from tickwire.server.refusal import Unauthorized

TOKEN_BYTES = 8 * 1024  # a list of some hundred symbols; more is refused before it is looked at
_REMEMBERED = 10_000  # tokens, some 1 KB each: the same one comes with every request
_REMEMBER_SECONDS = 60.0  # how long a key that was taken away may go on for those
_KEY_ID_LENGTH = 256


class _Known(NamedTuple):
    rights: Rights
    until: float


class Tokens:
    """Says what the bearer of a token may do.

    `issuer` and `audience` are what a token must name (empty: nothing), `leeway` how many seconds clocks may differ,
    `lifetime` how many seconds a token may still be good for, which bounds how long revoked ones are remembered.
    """

    def __init__(
        self,
        keys: Keys,
        clock: Clock,
        *,
        issuer: str = "",
        audience: str = "",
        leeway: float = 0.0,
        lifetime: float = 30 * 86_400.0,
    ) -> None:
        self.lifetime = lifetime
        self._keys = keys
        self._clock = clock
        self._issuer = issuer or None
        self._audience = audience or None
        self._leeway = leeway
        self._known: OrderedDict[bytes, _Known] = OrderedDict()

    async def rights(self, token: str) -> Rights:
        """The rights of the bearer. Unauthorized says what is wrong; Unavailable where it cannot be checked now."""
        if len(token) > TOKEN_BYTES:
            raise Unauthorized(f"the token is longer than {TOKEN_BYTES} bytes")
        name, now = hashlib.sha256(token.encode()).digest(), self._clock.now() / 1e9
        known = self._known.get(name)
        if known is not None and now < known.until:
            return known.rights
        rights = self._checked(await self._claims(token), now)
        self._remember(name, rights, now)
        return rights

    async def _claims(self, token: str) -> Mapping[str, Any]:
        """The claims of a token whose signature is good."""
        import jwt  # 60 ms that only servers with tokens wait for

        try:
            header = jwt.get_unverified_header(token)
            key = await self._keys.find(_key_id(header))
            if header.get("alg") != key.algorithm:
                raise Unauthorized(f"tokens are signed with {key.algorithm} here")
            claims: dict[str, Any] = jwt.decode(
                token,
                key.material,
                algorithms=[key.algorithm],
                issuer=self._issuer,
                audience=self._audience,
                options={"verify_exp": False, "verify_nbf": False, "verify_iat": False},  # below, by our clock
            )
        except jwt.InvalidIssuerError:
            raise Unauthorized("the token is of another issuer") from None
        except (jwt.InvalidAudienceError, jwt.MissingRequiredClaimError):
            raise Unauthorized("the token is for another audience, or names none") from None
        except (jwt.PyJWTError, ValueError, TypeError, KeyError, RecursionError):
            raise Unauthorized("the token is no JSON Web Token that this server's key has signed") from None
        return claims

    def _checked(self, claims: Mapping[str, Any], now: float) -> Rights:
        try:
            expires, begins, issued = (moment(claims, name) for name in ("exp", "nbf", "iat"))
            rights = rights_of({**claims, "exp": None if expires is None else expires + self._leeway})
        except InputError as error:
            raise Unauthorized(f"the token's claims: {error}", field=error.field) from None
        if expires is None or expires - now > self.lifetime:
            raise Unauthorized(f"a token needs exp, at most {in_words(self.lifetime)} from now")
        if now >= expires + self._leeway:
            raise Unauthorized("the token has expired")
        if any(moment_ is not None and now < moment_ - self._leeway for moment_ in (begins, issued)):
            raise Unauthorized("the token is not good yet")
        return rights

    def _remember(self, name: bytes, rights: Rights, now: float) -> None:
        assert rights.expires is not None  # noqa: S101  # checked just before
        self._known[name] = _Known(rights, min(rights.expires, now + _REMEMBER_SECONDS))
        self._known.move_to_end(name)
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)


def _key_id(header: Mapping[str, Any]) -> str | None:
    name = header.get("kid")
    if name is not None and (not isinstance(name, str) or len(name) > _KEY_ID_LENGTH):
        raise Unauthorized("the token's kid is no key's name")
    return name
