"""How a process gets in at NATS: by user and password, by a token, or with a credentials file; and whom it believes.

A credentials file (`nsc generate creds`) holds a token of NATS' own and the seed of a key, with which the server's
nonce is signed (Ed25519). The seed is Base32 of two bytes that say what it is, the key's 32, and a checksum. The file
is read anew at every connection, so it may be exchanged while Tickwire runs.
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

_PART = rb"-+BEGIN %s-+\s+(\S+)\s+-+END %s-+"
_TOKEN = re.compile(_PART % (b"NATS USER JWT", b"NATS USER JWT"))
_SEED = re.compile(_PART % (b"USER NKEY SEED", b"USER NKEY SEED"))
_KIND_BYTES, _KEY_BYTES, _SUM_BYTES = 2, 32, 2


@dataclass(frozen=True)
class Credentials:
    """All of it may be missing. `token` is what stands alone before the host; `authority` is a PEM file."""

    user: str | None = None
    password: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    file: Path | None = None
    authority: Path | None = None

    def options(self) -> dict[str, Any]:
        """What NATS' client takes for it. InputError where a file is not what it should be."""
        given: dict[str, Any] = {"user": self.user, "password": self.password, "token": self.token}
        if self.authority is not None:
            given["tls"] = _believing(self.authority)
        if self.file is not None:
            given |= _signing(self.file)
        return given


def _signing(path: Path) -> dict[str, Callable[..., bytes]]:
    _key(path)  # what is wrong with the file is said now

    def token() -> bytes:
        with _try_again():
            return _part(path, _TOKEN)

    def sign(nonce: str) -> bytes:
        with _try_again():
            return base64.b64encode(_key(path).sign(nonce.encode()))

    return {"user_jwt_cb": token, "signature_cb": sign}


@contextlib.contextmanager
def _try_again() -> Iterator[None]:
    """A file that went wrong meanwhile is a failed connection to the client; other errors would end its trying."""
    try:
        yield
    except InputError as error:
        raise nats.errors.Error(str(error)) from None


def _part(path: Path, pattern: re.Pattern[bytes]) -> bytes:
    try:
        found = pattern.search(path.read_bytes())
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}", field="nats_creds") from None
    if found is None:
        raise InputError(f"{path} is no credentials file of NATS: make one with nsc generate creds", field="nats_creds")
    return found[1]


def _key(path: Path) -> Ed25519PrivateKey:
    _part(path, _TOKEN)
    seed = _part(path, _SEED)
    try:
        raw = base64.b32decode(seed + b"=" * (-len(seed) % 8))
        if len(raw) != _KIND_BYTES + _KEY_BYTES + _SUM_BYTES or binascii.crc_hqx(raw[:-2], 0) != _number(raw[-2:]):
            raise ValueError
    except ValueError:
        raise InputError(f"the seed in {path} is damaged", field="nats_creds") from None
    return Ed25519PrivateKey.from_private_bytes(raw[_KIND_BYTES:-_SUM_BYTES])


def _number(data: bytes) -> int:
    return int.from_bytes(data, "little")


def _believing(path: Path) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=path)
    except OSError as error:  # ssl's own errors are of this kind
        why = error.strerror or "it holds no certificate"
        raise InputError(f"cannot use {path} as authority: {why}", field="nats_ca") from None
