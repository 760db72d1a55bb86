"""Tokens as a user has them: made and inspected on the command line, used by the client and its commands."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

import tickwire
from tickwire.errors import ClientError
from tickwire.testing.clock import ManualClock
from tickwire.testing.server import ServerProcess, run_server
from tickwire.testing.tokens import SECRET, token

TOKENS = {"auth": "secret", "auth_secret": SECRET}


async def command(*arguments: str, **environment: str) -> tuple[int, str, str]:
    """Run `tickwire`; its exit code, output and errors."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tickwire", *arguments,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env={**os.environ, **environment},
    )  # fmt: skip
    out, err = await process.communicate()
    return process.returncode or 0, out.decode().strip(), err.decode()


async def test_a_minted_token_opens_what_it_says() -> None:
    """From a new secret to a stream by the command line, and not one symbol more."""
    _, secret, _ = await command("token", "new-secret")
    given = {"TICKWIRE_AUTH_SECRET": secret}
    wanted = ["--user", "ann", "--symbols", "A*,MSFT", "--scope", "publish", "--delay", "0s", "--for", "15m"]
    code, minted, _ = await command("token", "mint", *wanted, **given)
    assert code == 0
    code, said, _ = await command("token", "inspect", minted, **given)
    assert '"good": true' in said
    assert json.loads(said.partition("\n}\n")[0] + "}")["claims"]["symbols"] == ["A*", "MSFT"]
    async with run_server(auth="secret", auth_secret=secret) as server:
        async with tickwire.Publisher(server.url, token=minted) as publisher:
            await publisher.publish([{"symbol": "AAPL", "last": 5}])
        code, out, _ = await command("watch", "--count", "1", "--url", server.url, TICKWIRE_TOKEN=minted)
        assert (code, json.loads(out)["symbol"]) == (0, "AAPL")
        code, _, said = await command("check-filter", "last > 1", "--url", server.url)
        assert (code, "this needs a token" in said) == (1, True)


async def test_a_token_of_a_private_key_and_what_is_wrong_with_others(tmp_path) -> None:
    """Signed with the key; looked at with its public half; mistakes in one line."""
    key, private, public = ed25519.Ed25519PrivateKey.generate(), tmp_path / "private.pem", tmp_path / "public.pem"
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    private.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    public.write_bytes(key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo))
    _, minted, _ = await command("token", "mint", "--user", "ann", "--key-file", str(private), "--key-id", "k1")
    code, said, _ = await command("token", "inspect", minted, "--key-file", str(public))
    assert (code, '"kid": "k1"' in said, '"EdDSA"' in said) == (0, True, True)
    for arguments, says in (
        (("mint", "--key-file", str(public)), "a private key is needed"),
        (("mint",), "TICKWIRE_AUTH_SECRET"),
        (("mint", "--secret", SECRET, "--scope", "root"), "--scope 'root': choose from publish, messages, admin"),
        (("mint", "--secret", SECRET, "--for", "ever"), "a time such as 15m"),
        (("inspect", _longer(), "--secret", SECRET), "a token needs exp, at most 30 days from now"),
        (("inspect", "nonsense"), "this is no token"),
        (("inspect", minted, "--secret", SECRET), "tokens are signed with HS256 here"),
    ):
        code, _, err = await command("token", *arguments)
        assert (code, err.count("\n"), says in err) == (2, 1, True), err


def _longer() -> str:
    return token(exp=time.time() + 60 * 86_400)


async def test_who_has_no_token_is_told_where_to_put_one(tmp_path) -> None:
    """In the error, in the help, in the greeting; and a token that servers refuse is not made without a word."""
    (tmp_path / "ticks.csv").write_text("symbol,price\nA,1\n")
    async with ServerProcess("--auth", "secret", "--auth-secret", SECRET, cwd=tmp_path) as server:
        code, _, err = await command("publish", str(tmp_path / "ticks.csv"), "--url", server.url)
        assert (code, "set TICKWIRE_TOKEN" in err) == (1, True), err
        assert '-H "Authorization: Bearer $TICKWIRE_TOKEN"' in server.lines[-1]
        assert ", no events yet of" in server.lines[1]
        await server.stop()
        log = (tmp_path / "server.log").read_text()
        assert log.index("told to stop") < log.index("stopped: readers were sent away, the journal ends at event")
    for name in ("watch", "publish", "record"):
        _, out, _ = await command(name, "--help")
        assert "TICKWIRE_TOKEN" in out
    code, out, err = await command("token", "mint", "--secret", SECRET, "--for", "60d")
    assert (code, out.count("."), "good for 30 days at most" in err) == (0, 2, True)


async def test_a_client_gets_a_new_token_when_its_old_one_has_expired() -> None:
    """The stream goes on where it was; without a token it is refused for good."""
    clock, made = ManualClock(), []

    def fresh() -> str:
        now = clock.now() / 1e9
        made.append(token(iat=now, exp=now + 60))
        return made[-1]

    async with run_server(**TOKENS, clock=clock) as server:
        async with tickwire.connect(server.url, events="quote", token=fresh) as stream:
            assert (await stream.next_event()).name == "welcome"
            stream._clock = clock  # its wait for the reconnect is in the server's time
            waiting = asyncio.create_task(_until(stream, "welcome"))
            for _ in range(100):
                await clock.advance(1)
                await asyncio.sleep(0.002)
                if waiting.done():
                    break
            assert await waiting == ["expiring", "bye"]
            assert len(made) == 2
        with pytest.raises(ClientError, match="this needs a token") as refused:
            async with tickwire.connect(server.url) as stream:
                await stream.next_event()
        assert refused.value.status == 401


async def _until(stream, name: str) -> list[str]:
    seen: list[str] = []
    while True:
        event = await stream.next_event()
        if event.name == name:
            return seen
        seen.append(event.name)


async def test_serve_listens_to_the_world_only_with_tokens_or_when_told(tmp_path) -> None:
    """One line that says what to do, and exit code 2."""
    code, out, err = await command("serve", "--host", "0.0.0.0", "--journal", "memory")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "--insecure" in err
