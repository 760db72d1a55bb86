"""Keys that verify the signatures of tokens. Each kind of key has exactly one signature algorithm.

The header of a token names an algorithm, but an attacker can write any name into the header. Therefore the key
determines the algorithm (RFC 8725, section 3.1), and the server rejects a token that names another algorithm.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from tickwire.errors import SettingsError
from tickwire.server.http_errors import Unauthorized

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

# A secret must be at least as long as the hash of HS256 (RFC 7518, section 3.2).
MIN_SECRET_BYTES = 32
_MIN_RSA_BITS = 2048


class VerificationKey(NamedTuple):
    """A key that verifies signatures, and the one signature algorithm for which the server accepts the key."""

    material: Any
    algorithm: str


class KeySource(Protocol):
    """The interface of an object that finds the verification keys of a token."""

    async def find(self, key_id: str | None) -> Sequence[VerificationKey]:
        """Return all keys with this id, all for the same algorithm. A token is valid if one of the keys verifies it.

        Raise Unauthorized if no key has this id. Raise AuthUnavailable if the source of the keys cannot be reached.
        """
        ...


class FixedKeySource:
    """A key source that returns the same keys for every key id. All keys are for the same algorithm."""

    def __init__(self, *keys: VerificationKey) -> None:
        self._keys = keys

    async def find(self, key_id: str | None) -> Sequence[VerificationKey]:
        return self._keys


def key_from_secret(secret: str, *, field: str = "auth_secret") -> VerificationKey:
    """Return the verification key for a shared secret. Raise SettingsError if the secret is too short.

    `field` is the setting that contains the secret.
    """
    if len(secret.encode()) < MIN_SECRET_BYTES:
        message = (
            f"the token secret has {len(secret.encode())} bytes instead of {MIN_SECRET_BYTES} or more: generate one "
            "with `tickwire token new-secret`"
        )
        raise SettingsError(message, field=field)
    return VerificationKey(secret.encode(), "HS256")


def key_from_file(path: Path) -> VerificationKey:
    """Return the public key in a PEM file. The file may contain a public key or a private key.

    Raise SettingsError if the server cannot read the file, or if the file contains no supported key.
    """
    # Import the module only here, because the import takes 60 ms and most servers do not need the module.
    from cryptography.hazmat.primitives import serialization

    try:
        text = path.read_bytes()
    except OSError as error:
        raise SettingsError(f"cannot read the key file {path}: {error.strerror}", field="auth_key_file") from None
    try:
        if b"PRIVATE KEY" in text:
            return key_from_public_key(serialization.load_pem_private_key(text, None).public_key())
        return key_from_public_key(serialization.load_pem_public_key(text))
    except (ValueError, TypeError, Unauthorized) as error:
        raise SettingsError(f"unusable key file {path}: {error}", field="auth_key_file") from None


def key_from_public_key(key: PublicKeyTypes) -> VerificationKey:
    """Return the verification key for a public key. Raise Unauthorized if the kind of key is not supported."""
    # Import the module only here, because the import takes 60 ms and most servers do not need the module.
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    if isinstance(key, rsa.RSAPublicKey) and key.key_size >= _MIN_RSA_BITS:
        return VerificationKey(key, "RS256")
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
        return VerificationKey(key, "ES256")
    if isinstance(key, ed25519.Ed25519PublicKey):
        return VerificationKey(key, "EdDSA")
    raise Unauthorized(f"unsupported key: use RSA with {_MIN_RSA_BITS} bits or more, P-256 or Ed25519")
