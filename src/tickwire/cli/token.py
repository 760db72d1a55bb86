"""`tickwire token`: create and inspect tokens."""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
import time
from pathlib import Path
from typing import Any

import click

from tickwire.clock import SystemClock
from tickwire.core.timestamps import duration_s, format_duration
from tickwire.errors import InputError
from tickwire.server.auth.claims import claims_from_rights, rights_from_claims
from tickwire.server.auth.keys import FixedKeySource, VerificationKey, key_from_file, key_from_secret
from tickwire.server.auth.tokens import TokenVerifier
from tickwire.sessions.rights import SCOPES
from tickwire.settings import ENV_PREFIX, Settings

_SECRET_BYTES = 48
_DEFAULT_MAX_AGE_S: float = Settings.model_fields["auth_max_age"].default

_secret_option = click.option(
    "--secret",
    envvar=f"{ENV_PREFIX}AUTH_SECRET",
    show_envvar=True,
    default="",
    help="Set the secret of the server. The environment variable is safer, because other users can list the options "
    "of a process.",
)
_key_file_option = click.option(
    "--key-file",
    type=click.Path(path_type=Path),
    envvar=f"{ENV_PREFIX}AUTH_KEY_FILE",
    show_envvar=True,
    help="Use the key in this PEM file instead of a secret. To sign a token, the key must be private.",
)


@click.group()
def token() -> None:
    """Create and inspect tokens for servers that require them."""


@token.command("new-secret")
def new_secret() -> None:
    """Print a new random secret. The server and `tickwire token mint` read the secret from TICKWIRE_AUTH_SECRET."""
    print(secrets.token_urlsafe(_SECRET_BYTES))


@token.command()
@_secret_option
@_key_file_option
@click.option("--user", help="Set the user (sub).")
@click.option("--id", "token_id", help="Set the token id (jti). A revocation can name this id.  [default: random]")
@click.option("--symbols", help="Allow reading these symbols and patterns (comma-separated list).  [default: all]")
@click.option(
    "--filter",
    metavar="EXPR",
    help="Allow reading symbols only while they match this filter, such as 'exchange = \"NYSE\"'.  [default: all]",
)
@click.option("--events", help="Allow reading these kinds of events (comma-separated list).  [default: all]")
@click.option("--scope", default="", help=f"Also allow these actions (comma-separated list): {', '.join(SCOPES)}.")
@click.option("--readers", type=click.IntRange(0), help="Limit the number of simultaneous streams.")
@click.option("--interval", help="Set the shortest time between two updates of a symbol, such as 250ms.")
@click.option("--delay", help="Delay all market data by this time, such as 15m.")
@click.option("--issuer", help="Set the issuer (iss), if the server requires one.")
@click.option("--audience", help="Set the audience (aud), if the server requires one.")
@click.option("--key-id", help="Set the key id (kid), if the keys of the server come from a JWKS.")
@click.option(
    "--for",
    "duration",
    default="1h",
    show_default=True,
    help="Set the time until the token expires: 90s, 15m, 1h, 30d.",
)
def mint(*, secret: str, key_file: Path | None, duration: str, key_id: str | None, **rights: Any) -> None:
    """Create a token, and print it."""
    # Import the package only here, because other commands do not need it.
    import jwt

    now = int(time.time())
    lifetime_s = _parse_duration(duration)
    claims = {**_build_claims(**rights), "iat": now, "exp": now + lifetime_s}
    # Raise InputError for claims that a server would reject.
    rights_from_claims(claims)
    key = _load_key(secret, key_file)
    material = key.material if key_file is None else key_file.read_bytes()
    try:
        text = jwt.encode(claims, material, key.algorithm, headers={"kid": key_id} if key_id else None)
    except (jwt.InvalidKeyError, TypeError, AttributeError):
        # Catch all exceptions, because PyJWT raises a different exception for each kind of key.
        raise InputError(f"{key_file} cannot sign: use a private key", field="key_file") from None
    if lifetime_s > _DEFAULT_MAX_AGE_S:
        limit = format_duration(_DEFAULT_MAX_AGE_S)
        print(
            f"warning: servers reject tokens that are valid for more than {limit}, unless --auth-max-age permits it",
            file=sys.stderr,
        )
    print(text)


@token.command()
@click.argument("text", metavar="TOKEN")
@_secret_option
@_key_file_option
@click.option("--issuer", default="", help="Require this issuer (iss).")
@click.option("--audience", default="", help="Require this audience (aud).")
def inspect(*, text: str, secret: str, key_file: Path | None, issuer: str, audience: str) -> None:
    """Print the claims of TOKEN. If a secret or a key is set, also verify TOKEN.

    If TOKEN is `-`, read the token from standard input.
    """
    # Import the package only here, because other commands do not need it.
    import jwt

    text = sys.stdin.read().strip() if text == "-" else text
    try:
        decoded = jwt.decode_complete(text, options={"verify_signature": False})
    except jwt.PyJWTError as error:
        raise InputError(f"TOKEN is not a valid JWT: {error}") from None
    print(json.dumps({"header": decoded["header"], "claims": decoded["payload"]}, indent=2))
    if not secret and key_file is None:
        print("not verified: add --secret or --key-file", file=sys.stderr)
        return
    keys = FixedKeySource(_load_key(secret, key_file))
    rights = asyncio.run(TokenVerifier(keys, SystemClock(), issuer=issuer, audience=audience).verify(text))
    print(json.dumps({"good": True, "rights": claims_from_rights(rights)}, indent=2))


def _build_claims(
    user: str | None, token_id: str | None, issuer: str | None, audience: str | None, **rights: Any
) -> dict[str, Any]:
    registered = {"sub": user, "jti": token_id or secrets.token_hex(8), "iss": issuer, "aud": audience}
    lists = {name: rights.pop(name).split(",") for name in ("symbols", "events") if rights[name] is not None}
    scope = rights.pop("scope").replace(",", " ")
    unknown = [word for word in scope.split() if word not in SCOPES]
    if unknown:
        raise InputError(f"--scope {unknown[0]!r}: choose from {', '.join(SCOPES)}", field="scope")
    claims = {**registered, **lists, "scope": scope, **rights}
    return {name: value for name, value in claims.items() if value not in (None, "")}


def _load_key(secret: str, key_file: Path | None) -> VerificationKey:
    if key_file is not None:
        return key_from_file(key_file)
    if not secret:
        raise InputError(f"no secret and no key: set {ENV_PREFIX}AUTH_SECRET, or add --key-file", field="secret")
    return key_from_secret(secret)


def _parse_duration(text: str) -> int:
    seconds = duration_s(text, "smhd")
    if seconds is None or not seconds.is_integer():
        raise InputError(f"--for {text!r}: use a number and a unit, such as 15m, 1h or 30d", field="for")
    return int(seconds)
