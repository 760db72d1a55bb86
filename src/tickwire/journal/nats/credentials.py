"""Credentials for NATS.

A client logs in with a user name and a password, with a token, or with a credentials file. A CA bundle may be added.

The command `nsc generate creds` creates a credentials file. The file contains a NATS user JWT and the seed of an
Ed25519 key. The client signs a nonce from the server with this key. The seed is the Base32 encoding of two type bytes,
32 key bytes and a checksum.

Tickwire reads the credentials file again for each connection, so an operator can replace the file while Tickwire runs.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import re
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nats.errors
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tickwire.errors import InputError

_SECTION_PATTERN = rb"-+BEGIN %s-+\s+(\S+)\s+-+END %s-+"
_JWT_SECTION = re.compile(_SECTION_PATTERN % (b"NATS USER JWT", b"NATS USER JWT"))
_SEED_SECTION = re.compile(_SECTION_PATTERN % (b"USER NKEY SEED", b"USER NKEY SEED"))
_SEED_PREFIX_BYTES, _PRIVATE_KEY_BYTES, _CHECKSUM_BYTES = 2, 32, 2


@dataclass(frozen=True)
class NatsCredentials:
    """Credentials for NATS. All fields are optional.

    `token` comes from the URL of the journal. `ca_file` is a CA bundle in PEM format.
    """

    user: str | None = None
    password: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    creds_file: Path | None = None
    ca_file: Path | None = None

    def client_options(self) -> dict[str, Any]:
        """Return the options for the NATS client. Raise InputError if a file is missing or invalid."""
        options: dict[str, Any] = {"user": self.user, "password": self.password, "token": self.token}
        if self.ca_file is not None:
            options["tls"] = _tls_context(self.ca_file)
        if self.creds_file is not None:
            options |= _signing_options(self.creds_file)
        return options


def _signing_options(path: Path) -> dict[str, Callable[..., bytes]]:
    # Read the file now, so that an invalid file raises an error at the start instead of at the first connection.
    _read_private_key(path)

    def read_jwt() -> bytes:
        with _errors_as_retryable():
            return _read_section(path, _JWT_SECTION)

    def sign(nonce: str) -> bytes:
        with _errors_as_retryable():
            return base64.b64encode(_read_private_key(path).sign(nonce.encode()))

    return {"user_jwt_cb": read_jwt, "signature_cb": sign}


@contextlib.contextmanager
def _errors_as_retryable() -> Iterator[None]:
    """Convert InputError to `nats.errors.Error`, after which the NATS client tries to connect again.

    After any other exception, the NATS client would stop trying.
    """
    try:
        yield
    except InputError as error:
        raise nats.errors.Error(str(error)) from None


def _read_section(path: Path, pattern: re.Pattern[bytes]) -> bytes:
    try:
        match = pattern.search(path.read_bytes())
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}", field="nats_creds") from None
    if match is None:
        raise InputError(
            f"{path} is not a NATS credentials file: create one with `nsc generate creds`", field="nats_creds"
        )
    return match[1]


def _read_private_key(path: Path) -> Ed25519PrivateKey:
    _read_section(path, _JWT_SECTION)
    seed = _read_section(path, _SEED_SECTION)
    try:
        raw = base64.b32decode(seed + b"=" * (-len(seed) % 8))
        expected_bytes = _SEED_PREFIX_BYTES + _PRIVATE_KEY_BYTES + _CHECKSUM_BYTES
        checksum = int.from_bytes(raw[-_CHECKSUM_BYTES:], "little")
        if len(raw) != expected_bytes or binascii.crc_hqx(raw[:-_CHECKSUM_BYTES], 0) != checksum:
            raise ValueError
    except ValueError:
        raise InputError(
            f"the seed in {path} is damaged: create the file again with `nsc generate creds`", field="nats_creds"
        ) from None
    return Ed25519PrivateKey.from_private_bytes(raw[_SEED_PREFIX_BYTES:-_CHECKSUM_BYTES])


def _tls_context(path: Path) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=path)
    # This clause also catches SSLError, which is a subclass of OSError.
    except OSError as error:
        reason = error.strerror or "the file contains no certificate"
        raise InputError(f"cannot use {path} as CA bundle: {reason}", field="nats_ca") from None
