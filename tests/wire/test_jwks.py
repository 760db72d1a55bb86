"""Verification keys from an issuer's HTTP server: caching, rotation, and outages of the issuer."""

from __future__ import annotations

import asyncio
import contextlib
import json

import httpx2
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from tickwire.server.auth import jwks
from tickwire.server.auth.jwks import MAX_KEY_SET_BYTES, MIN_FETCH_INTERVAL_S, REFRESH_INTERVAL_S
from tickwire.testing.clock import ManualClock
from tickwire.testing.server import run_server
from tickwire.testing.tokens import TEST_SECRET, bearer_header, sign_token
from tickwire.testing.waiting import wait_until

OLD, NEW = ed25519.Ed25519PrivateKey.generate(), rsa.generate_private_key(65537, 2048)


class JwksServer:
    """An HTTP server that publishes a key set. While `is_down`, it answers 500."""

    def __init__(self) -> None:
        self.keys: list[dict[str, object]] = []
        self.is_down = False
        self.request_count = 0

    @contextlib.asynccontextmanager
    async def serving(self):
        server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        async with server:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/keys"

    def publish(self, **keys) -> None:
        """Replace the published keys. The names of the arguments are the key ids."""
        self.keys = [{**_jwk(key), "kid": name} for name, key in keys.items()]

    async def _answer(self, reader, writer) -> None:
        await reader.readuntil(b"\r\n\r\n")
        self.request_count += 1
        body = b"out of order" if self.is_down else json.dumps({"keys": self.keys}).encode()
        status = b"500 Broken" if self.is_down else b"200 OK"
        writer.write(b"HTTP/1.1 %b\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b" % (status, len(body), body))
        await writer.drain()
        writer.close()


def _jwk(key) -> dict[str, object]:
    if isinstance(key, bytes):
        return jwt.algorithms.HMACAlgorithm.to_jwk(key, as_dict=True)
    kind = jwt.algorithms.RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else jwt.algorithms.OKPAlgorithm
    return kind.to_jwk(key.public_key(), as_dict=True)


def sign_with_key(name: str | None, clock: ManualClock) -> str:
    """Return a token signed with the key `name`; None leaves out the key id."""
    now = clock.now() / 1e9
    headers = None if name is None else {"kid": name}
    key, algorithm = (NEW, "RS256") if name == "new" else (OLD, "EdDSA")
    return sign_token(
        key=key, algorithm=algorithm, headers=headers, iat=now, exp=now + 86_400, jti=f"{clock.monotonic()}"
    )


@pytest.fixture
async def world():
    """An issuer, the clock of a server that uses its keys, and a function that sends a token and returns the status."""
    issuer, clock = JwksServer(), ManualClock()
    issuer.publish(old=OLD)
    async with (
        issuer.serving() as url,
        run_server(auth="jwks", auth_jwks_url=url, clock=clock) as server,
        httpx2.AsyncClient(base_url=server.url) as client,
    ):

        async def status(key_name: str | None, token: str | None = None) -> int:
            headers = bearer_header(token or sign_with_key(key_name, clock))
            return (await client.get("/v1/quotes", headers=headers)).status_code

        yield issuer, clock, status


async def test_keys_are_cached_and_rotated(world) -> None:
    """A token with a new key id causes a fetch, which also removes the old key."""
    issuer, clock, status = world
    assert [await status("old") for _ in range(3)] + [await status(None)] == [200] * 4
    assert issuer.request_count == 1
    issuer.publish(new=NEW)
    # The last fetch was less than MIN_FETCH_INTERVAL_S ago.
    assert (await status("new"), issuer.request_count) == (401, 1)
    await clock.advance(MIN_FETCH_INTERVAL_S)
    assert (await status("new"), await status("old"), issuer.request_count) == (200, 401, 2)


async def test_invented_key_ids_do_not_flood_the_issuer(world) -> None:
    issuer, _, status = world
    assert {await status(f"invented-{number}") for number in range(20)} == {401}
    assert issuer.request_count == 1


async def test_a_reload_of_the_settings_keeps_the_keys_until_it_has_new_ones() -> None:
    """SIGHUP for another setting must not reject all tokens because the issuer is down."""
    issuer, clock = JwksServer(), ManualClock()
    issuer.publish(old=OLD)
    async with (
        issuer.serving() as url,
        run_server(auth="jwks", auth_jwks_url=url, clock=clock) as server,
        httpx2.AsyncClient(base_url=server.url) as client,
    ):

        async def accepts(key_name: str) -> bool:
            headers = bearer_header(sign_with_key(key_name, clock))
            return (await client.get("/v1/quotes", headers=headers)).status_code == 200

        assert await accepts("old")
        issuer.is_down = True
        await clock.advance(MIN_FETCH_INTERVAL_S)
        server.app.replace_keys(server.app.settings)
        await wait_until(lambda: issuer.request_count == 2)
        assert await accepts("old")
        issuer.is_down = False
        issuer.publish(new=NEW)
        await clock.advance(MIN_FETCH_INTERVAL_S)
        server.app.replace_keys(server.app.settings)
        await wait_until(lambda: issuer.request_count == 3)
        await wait_until(lambda: accepts("new"))
        assert not await accepts("old")


async def test_known_keys_stay_valid_while_the_issuer_is_down(world) -> None:
    """Known keys stay valid even after the refresh interval.

    A token with an unknown key is answered with 503 until the issuer is back.
    """
    issuer, clock, status = world
    assert await status("old") == 200
    issuer.is_down = True
    await clock.advance(REFRESH_INTERVAL_S)
    assert await status("old") == 200
    while issuer.request_count < 2:
        await asyncio.sleep(0.001)
    assert await status("old") == 200
    await clock.advance(MIN_FETCH_INTERVAL_S)
    issuer.publish(new=NEW)
    assert await status("new") == 503
    issuer.is_down = False
    await clock.advance(MIN_FETCH_INTERVAL_S)
    assert await status("new") == 200


async def test_a_server_that_never_reached_its_issuer_answers_503(world) -> None:
    issuer, _, status = world
    issuer.is_down = True
    assert await status("old") == 503


async def test_a_shared_secret_in_the_key_set_is_ignored(world) -> None:
    """Everybody can read a published secret, so everybody could sign with it."""
    issuer, clock, status = world
    issuer.publish(shared=TEST_SECRET.encode())
    now = clock.now() / 1e9
    token = sign_token(headers={"kid": "shared"}, iat=now, exp=now + 100)
    assert await status(None, token) == 401


HEAD = b"HTTP/1.1 200 OK\r\n"
# The start of an answer, and the bytes that the issuer then sends again and again.
ENDLESS_ANSWERS = {
    "silence": (b"", b""),
    "a slow head": (HEAD + b"X-A: ", b"a"),
    "many headers": (HEAD, b"A: b\r\n"),
    "a slow body": (HEAD + b"Content-Length: 400000000\r\n\r\n", b" "),
    "slow chunks": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    "a huge body": (HEAD + b"\r\n", b" " * 100_000),
    "a slow redirect": (b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 999\r\n\r\n", b" "),
}


@contextlib.asynccontextmanager
async def status_with_issuer(answer):
    """Run an issuer that answers with the coroutine `answer`.

    Yield a function that requests the prices twice at the same time, and returns the two answers.
    """
    async with await asyncio.start_server(answer, "127.0.0.1", 0) as issuer:
        url = f"http://127.0.0.1:{issuer.sockets[0].getsockname()[1]}/"
        async with (
            run_server(auth="jwks", auth_jwks_url=url) as server,
            httpx2.AsyncClient(base_url=server.url) as client,
        ):
            headers = bearer_header(sign_token(key=OLD, algorithm="EdDSA", headers={"kid": "old"}))

            async def request_twice():
                return await asyncio.gather(*(client.get("/v1/quotes", headers=headers) for _ in range(2)))

            yield request_twice


@pytest.mark.parametrize("kind", ENDLESS_ANSWERS)
async def test_requests_do_not_wait_for_an_answer_without_end(monkeypatch, kind) -> None:
    """The requests are answered with 503, and the server closes its connection to the issuer."""
    monkeypatch.setattr(jwks, "FETCH_TIMEOUT_S", 0.3)
    (start, more), is_closed, sent = ENDLESS_ANSWERS[kind], asyncio.Event(), 0

    async def answer(reader, writer) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(start)
        with contextlib.suppress(ConnectionError):
            while not reader.at_eof():
                writer.write(more)
                await writer.drain()
                sent += len(more)
                await asyncio.sleep(0.01)
        writer.close()
        is_closed.set()

    async with asyncio.timeout(60), status_with_issuer(answer) as request_twice:
        assert [each.status_code for each in await request_twice()] == [503, 503]
        await is_closed.wait()
    assert sent < 2 * MAX_KEY_SET_BYTES


async def test_a_redirect_to_plain_http_is_not_followed() -> None:
    """Without TLS, anybody on the network could replace the keys."""

    async def answer(reader, writer) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 302 Found\r\nLocation: http://192.0.2.1/keys\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    async with status_with_issuer(answer) as request_twice:
        for response in await request_twice():
            assert (response.status_code, "without https" in response.json()["detail"]) == (503, True)
