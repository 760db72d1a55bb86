"""`tickwire token`: make tokens, and see what one says."""

from __future__ import annotations

import asyncio
import json
import re
import secrets
import sys
import time
from pathlib import Path
from typing import Any

import click

from tickwire.clock import SystemClock
from tickwire.core.moment import in_words
from tickwire.errors import InputError
from tickwire.hub.rights import SCOPES
from tickwire.server.claims import claims_of, rights_of
from tickwire.server.keys import Key, OneKey, file_key, secret_key
from tickwire.server.tokens import Tokens
from tickwire.settings import PREFIX, Settings

_FOR = re.compile(r"(\d{1,6})([smhd])", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_SECRET_BYTES = 48
_LONGEST: float = Settings.model_fields["auth_max_age"].default

_secret = click.option(
    "--secret", envvar=f"{PREFIX}AUTH_SECRET", default="", help=f"the server's secret; better in {PREFIX}AUTH_SECRET"
)
_key_file = click.option(
    "--key-file",
    type=click.Path(path_type=Path),
    envvar=f"{PREFIX}AUTH_KEY_FILE",
    help="a PEM file in place of the secret: the private key to mint, either to inspect",
)


@click.group()
def token() -> None:
    """Make tokens for a server that asks for them, and see what one says."""


@token.command("new-secret")
def new_secret() -> None:
    """A secret by chance, for TICKWIRE_AUTH_SECRET of the server and of `tickwire token mint`."""
    print(secrets.token_urlsafe(_SECRET_BYTES))


@token.command()
@_secret
@_key_file
@click.option("--user", help="who this is (sub)")
@click.option("--id", "token_id", help="a name to revoke it by (jti); made up, if left out")
@click.option("--symbols", help="what may be read: comma list of symbols and patterns; all, if left out")
@click.option("--events", help="kinds of events that may be read; all, if left out")
@click.option("--scope", default="", help=f"what may be done beside reading: {', '.join(SCOPES)}")
@click.option("--readers", type=click.IntRange(0), help="streams at one time")
@click.option("--interval", help="the least time between updates of a symbol, such as 250ms")
@click.option("--delay", help="how far behind the market is seen, such as 15m")
@click.option("--issuer", help="iss, where the server asks for it")
@click.option("--audience", help="aud, where the server asks for it")
@click.option("--key-id", help="kid, where the server's keys come from a JWKS")
@click.option("--for", "duration", default="1h", show_default=True, help="how long it is good: 90s, 15m, 1h, 30d")
def mint(*, secret: str, key_file: Path | None, duration: str, key_id: str | None, **given: Any) -> None:
    """Make a token, and print it."""
    import jwt  # as in the server: only when it is needed

    now = int(time.time())
    length = _seconds(duration)
    claims = {**_claims(**given), "iat": now, "exp": now + length}
    rights_of(claims)  # says what could not be read
    key = _key(secret, key_file)
    material = key.material if key_file is None else key_file.read_bytes()
    try:
        text = jwt.encode(claims, material, key.algorithm, headers={"kid": key_id} if key_id else None)
    except (jwt.InvalidKeyError, TypeError, AttributeError):  # it depends on the kind of key
        raise InputError(f"{key_file} does not sign: a private key is needed", field="key_file") from None
    if length > _LONGEST:
        said = (
            f"a server takes tokens that are good for {in_words(_LONGEST)} at most, unless it was given --auth-max-age"
        )
        print(f"warning: {said}", file=sys.stderr)
    print(text)


@token.command()
@click.argument("text", metavar="TOKEN")
@_secret
@_key_file
@click.option("--issuer", default="", help="the iss that it should have")
@click.option("--audience", default="", help="the aud that it should have")
def inspect(*, text: str, secret: str, key_file: Path | None, issuer: str, audience: str) -> None:
    """What TOKEN says (`-` reads it from standard input), and with a secret or a key, whether it is good."""
    import jwt  # as above

    text = sys.stdin.read().strip() if text == "-" else text
    try:
        said = jwt.decode_complete(text, options={"verify_signature": False})
    except jwt.PyJWTError as error:
        raise InputError(f"this is no token: {error}") from None
    print(json.dumps({"header": said["header"], "claims": said["payload"]}, indent=2))
    if not secret and key_file is None:
        print("not checked: give --secret or --key-file", file=sys.stderr)
        return
    keys = OneKey(_key(secret, key_file))
    rights = asyncio.run(Tokens(keys, SystemClock(), issuer=issuer, audience=audience).rights(text))
    print(json.dumps({"good": True, "rights": claims_of(rights)}, indent=2))


def _claims(user: str | None, token_id: str | None, issuer: str | None, audience: str | None, **given: Any) -> Any:
    named = {"sub": user, "jti": token_id or secrets.token_hex(8), "iss": issuer, "aud": audience}
    lists = {name: given.pop(name).split(",") for name in ("symbols", "events") if given[name] is not None}
    scope = given.pop("scope").replace(",", " ")
    unknown = [word for word in scope.split() if word not in SCOPES]
    if unknown:
        raise InputError(f"--scope {unknown[0]!r}: choose from {', '.join(SCOPES)}", field="scope")
    said = {**named, **lists, "scope": scope, **given}
    return {name: value for name, value in said.items() if value not in (None, "")}


def _key(secret: str, key_file: Path | None) -> Key:
    if key_file is not None:
        return file_key(key_file)
    if not secret:
        raise InputError(f"with what? --secret, {PREFIX}AUTH_SECRET or --key-file", field="secret")
    return secret_key(secret)


def _seconds(text: str) -> int:
    match = _FOR.fullmatch(text)
    if match is None:
        raise InputError(f"--for {text!r}: a time such as 15m, 1h or 30d", field="for")
    return int(match[1]) * _SECONDS[match[2]]
