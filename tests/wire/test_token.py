"""Tokens as users see them: created and inspected on the command line, used by the client and its commands."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

import tickwire
from tickwire.client.stream import Stream
from tickwire.errors import ClientError
from tickwire.testing.clock import ManualClock
from tickwire.testing.command_line import invoke_command, invoke_command_in_thread
from tickwire.testing.server import ServerProcess, run_server
from tickwire.testing.tokens import TEST_SECRET, TOKEN_AUTH, sign_token


async def test_minted_token_grants_exactly_its_claims() -> None:
    """The test creates a secret and a token and opens a stream, all on the command line."""
    secret = invoke_command("token", "new-secret").output.strip()
    environment = {"TICKWIRE_AUTH_SECRET": secret}
    claims = ["--user", "ann", "--symbols", "A*,MSFT", "--scope", "publish", "--delay", "0s", "--for", "15m"]
    result = invoke_command("token", "mint", *claims, env=environment)
    assert result.exit_code == 0
    token = result.output.strip()
    inspected = (await invoke_command_in_thread("token", "inspect", token, env=environment)).output
    assert '"good": true' in inspected
    assert json.loads(inspected.partition("\n}\n")[0] + "}")["claims"]["symbols"] == ["A*", "MSFT"]
    async with run_server(auth="secret", auth_secret=secret) as server:
        async with tickwire.Publisher(server.url, token=token) as publisher:
            await publisher.publish([{"symbol": "AAPL", "last": 5}])
        options = ("--url", server.url)
        result = await invoke_command_in_thread("watch", "--count", "1", *options, env={"TICKWIRE_TOKEN": token})
        assert (result.exit_code, json.loads(result.output)["symbol"]) == (0, "AAPL")
        result = await invoke_command_in_thread("check-filter", "last > 1", *options)
        assert (result.exit_code, "the request has no token" in result.errors) == (1, True)


def test_token_of_a_private_key_and_errors(tmp_path: Path) -> None:
    """A private key signs, its public half verifies, and each error is one line."""
    key, private, public = ed25519.Ed25519PrivateKey.generate(), tmp_path / "private.pem", tmp_path / "public.pem"
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    private.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    public.write_bytes(key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo))
    result = invoke_command("token", "mint", "--user", "ann", "--key-file", private, "--key-id", "k1")
    token = result.output.strip()
    result = invoke_command("token", "inspect", token, "--key-file", public)
    assert (result.exit_code, '"kid": "k1"' in result.output, '"EdDSA"' in result.output) == (0, True, True)
    longest = invoke_command("token", "mint", "--secret", TEST_SECRET, "--for", "30d").output.strip()
    assert '"good": true' in invoke_command("token", "inspect", longest, "--secret", TEST_SECRET).output
    for arguments, message in (
        (("mint", "--key-file", public), "use a private key"),
        (("mint",), "TICKWIRE_AUTH_SECRET"),
        (("mint", "--secret", TEST_SECRET, "--scope", "root"), "--scope 'root': choose from publish, messages, admin"),
        (("mint", "--secret", TEST_SECRET, "--for", "ever"), "use a number and a unit, such as 15m"),
        (
            ("inspect", _long_lived_token(), "--secret", TEST_SECRET),
            "a token must have iat and exp, at most 30 days apart",
        ),
        (("inspect", "nonsense"), "TOKEN is not a valid JWT"),
        (("inspect", token, "--secret", TEST_SECRET), "sign tokens with HS256"),
    ):
        result = invoke_command("token", *arguments)
        assert (result.exit_code, result.errors.count("\n")) == (2, 1)
        assert message in result.errors


def _long_lived_token() -> str:
    return sign_token(exp=time.time() + 60 * 86_400)


def test_minting_a_token_that_servers_reject_prints_a_warning() -> None:
    result = invoke_command("token", "mint", "--secret", TEST_SECRET, "--for", "60d")
    assert (result.exit_code, result.output.count(".")) == (0, 2)
    assert "servers reject tokens that are valid for more than 30 days" in result.errors


async def test_commands_without_a_token_name_the_variable(tmp_path: Path) -> None:
    """The error, the help and the banner of the server name TICKWIRE_TOKEN."""
    file = tmp_path / "ticks.csv"
    file.write_text("symbol,price\nA,1\n")
    async with ServerProcess("--auth", "secret", "--auth-secret", TEST_SECRET, cwd=tmp_path) as server:
        result = await invoke_command_in_thread("publish", file, "--url", server.url)
        assert (result.exit_code, "set TICKWIRE_TOKEN" in result.errors) == (1, True), result.errors
        assert '-H "Authorization: Bearer $TICKWIRE_TOKEN"' in server.banner_lines[-1]
        assert ", no events yet of" in server.banner_lines[1]
        await server.stop()
        log = (tmp_path / "server.log").read_text()
        stopped = "the server has stopped: all streams have ended, and the newest event in the journal is"
        assert log.index("received a signal: the server stops") < log.index(stopped)
    for name in ("watch", "publish", "record"):
        assert "TICKWIRE_TOKEN" in invoke_command(name, "--help").output


async def test_client_fetches_a_new_token_when_the_old_one_expires() -> None:
    """The stream reconnects before its token expires. Without a token, the server rejects the stream permanently."""
    clock, tokens = ManualClock(), list[str]()

    def fresh_token() -> str:
        now = clock.now() / 1e9
        tokens.append(sign_token(iat=now, exp=now + 60))
        return tokens[-1]

    async with run_server(**TOKEN_AUTH, clock=clock) as server:
        async with tickwire.connect(server.url, events="quote", token=fresh_token) as stream:
            assert (await stream.next_event()).name == "welcome"
            # The wait before the reconnect uses the time of the server.
            stream._clock = clock
            waiting = asyncio.create_task(_read_until(stream, "welcome"))
            for _ in range(100):
                await clock.advance(1)
                await asyncio.sleep(0.002)
                if waiting.done():
                    break
            assert await waiting == ["expiring"]
            assert len(tokens) == 2
        with pytest.raises(ClientError, match="the request has no token") as error:
            async with tickwire.connect(server.url) as stream:
                await stream.next_event()
        assert error.value.status == 401


async def _read_until(stream: Stream, name: str) -> list[str]:
    """Read until an event with this name, and return the names of the events before it."""
    names: list[str] = []
    while True:
        event = await stream.next_event()
        if event.name == name:
            return names
        names.append(event.name)
