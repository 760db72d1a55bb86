"""Keys that tokens are signed with, each for the one algorithm of its kind.

A token's header names an algorithm and a key, and whoever makes a token writes what it likes there. So the algorithm is
never taken from the token: it follows from the key (RFC 8725, section 3.1), and a token that names another is refused.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from tickwire.errors import SettingsError
from tickwire.server.refusal import Unauthorized

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

SECRET_BYTES = 32  # as long as the hash of HS256 (RFC 7518, section 3.2)
_RSA_BITS = 2048


class Key(NamedTuple):
    """What verifies a signature, and how."""

    material: Any
    algorithm: str


class Keys(Protocol):
    """Where the keys come from."""

    async def find(self, key_id: str | None) -> Key:
        """The key of this id. Unauthorized where there is none, Unavailable where that cannot be known now."""
        ...


class OneKey:
    """The same key for every token, whatever id it names."""

    def __init__(self, key: Key) -> None:
        self._key = key

    async def find(self, key_id: str | None) -> Key:  # there is only one
        """The key."""
        return self._key


def secret_key(secret: str) -> Key:
    """A shared secret; SettingsError where it is too short to be one."""
    if len(secret.encode()) < SECRET_BYTES:
        said = f"the secret for tokens has to have {SECRET_BYTES} bytes at least: tickwire token new-secret makes one"
        raise SettingsError(said, field="auth_secret")
    return Key(secret.encode(), "HS256")


def file_key(path: Path) -> Key:
    """The public key in a PEM file, or that of the private key in it."""
    from cryptography.hazmat.primitives import serialization  # 60 ms that only servers with such a key wait for

    try:
        text = path.read_bytes()
    except OSError as error:
        raise SettingsError(f"the key file {path}: {error.strerror}", field="auth_key_file") from None
    try:
        if b"PRIVATE KEY" in text:
            return public_key(serialization.load_pem_private_key(text, None).public_key())
        return public_key(serialization.load_pem_public_key(text))
    except (ValueError, TypeError, Unauthorized) as error:
        raise SettingsError(f"the key file {path} is no PEM key for tokens: {error}", field="auth_key_file") from None


def public_key(key: PublicKeyTypes) -> Key:
    """A public key with its algorithm; Unauthorized for a kind that tokens are not signed with here."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa  # as above

    if isinstance(key, rsa.RSAPublicKey) and key.key_size >= _RSA_BITS:
        return Key(key, "RS256")
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
        return Key(key, "ES256")
    if isinstance(key, ed25519.Ed25519PublicKey):
        return Key(key, "EdDSA")
    raise Unauthorized(f"keys are RSA of {_RSA_BITS} bits or more, P-256 or Ed25519")
