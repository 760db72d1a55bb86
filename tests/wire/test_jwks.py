"""Keys from an issuer's own HTTP server: fetched once, rotated, and worked on with while it is down."""

from __future__ import annotations

import asyncio
import contextlib
import json

import httpx2
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from tickwire.server.jwks import AGAIN_SECONDS, FRESH_SECONDS
from tickwire.testing.clock import ManualClock
from tickwire.testing.server import run_server
from tickwire.testing.tokens import SECRET, bearer, token

OLD, NEW = ed25519.Ed25519PrivateKey.generate(), rsa.generate_private_key(65537, 2048)


class Issuer:
    """A server that publishes keys; `down` it answers 500. Counts how often it was asked."""

    def __init__(self) -> None:
        self.keys: list[dict[str, object]] = []
        self.down = False
        self.asked = 0

    @contextlib.asynccontextmanager
    async def serving(self):
        server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        async with server:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/keys"

    def publish(self, **keys) -> None:
        """Have exactly these keys, by id."""
        self.keys = [{**_jwk(key), "kid": name} for name, key in keys.items()]

    async def _answer(self, reader, writer) -> None:
        await reader.readuntil(b"\r\n\r\n")
        self.asked += 1
        body = b"out of order" if self.down else json.dumps({"keys": self.keys}).encode()
        status = b"500 Broken" if self.down else b"200 OK"
        writer.write(b"HTTP/1.1 %b\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b" % (status, len(body), body))
        await writer.drain()
        writer.close()


def _jwk(key) -> dict[str, object]:
    if isinstance(key, bytes):
        return jwt.algorithms.HMACAlgorithm.to_jwk(key, as_dict=True)
    kind = jwt.algorithms.RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else jwt.algorithms.OKPAlgorithm
    return kind.to_jwk(key.public_key(), as_dict=True)


def signed(name: str | None, clock: ManualClock) -> str:
    """A token of the key with this id."""
    now = clock.now() / 1e9
    headers = None if name is None else {"kid": name}
    key, algorithm = (NEW, "RS256") if name == "new" else (OLD, "EdDSA")
    return token(key=key, algorithm=algorithm, headers=headers, iat=now, exp=now + 86_400, jti=f"{clock.monotonic()}")


@pytest.fixture
async def world():
    issuer, clock = Issuer(), ManualClock()
    issuer.publish(old=OLD)
    async with (
        issuer.serving() as url,
        run_server(auth="jwks", auth_jwks_url=url, clock=clock) as server,
        httpx2.AsyncClient(base_url=server.url) as client,
    ):

        async def status(name: str | None, text: str | None = None) -> int:
            return (await client.get("/v1/quotes", headers=bearer(text or signed(name, clock)))).status_code

        yield issuer, clock, status


async def test_keys_are_fetched_once_and_rotated(world) -> None:
    """A new key is found when a token first names it; an old one is gone when the keys were read again."""
    issuer, clock, status = world
    assert [await status("old") for _ in range(3)] + [await status(None)] == [200] * 4
    assert issuer.asked == 1
    issuer.publish(new=NEW)
    assert (await status("new"), issuer.asked) == (401, 1)  # it was looked just now
    await clock.advance(AGAIN_SECONDS)
    assert (await status("new"), await status("old"), issuer.asked) == (200, 401, 2)


async def test_made_up_key_ids_do_not_make_us_ask_all_the_time(world) -> None:
    """Whoever sends them costs the issuer one request in a while."""
    issuer, _, status = world
    assert {await status(f"made-up-{number}") for number in range(20)} == {401}
    assert issuer.asked == 1


async def test_known_keys_work_on_while_the_issuer_is_down(world) -> None:
    """Also when they are due to be read again; unknown ones are put off with 503, and found when it is back."""
    issuer, clock, status = world
    assert await status("old") == 200
    issuer.down = True
    await clock.advance(FRESH_SECONDS)
    assert await status("old") == 200
    while issuer.asked < 2:
        await asyncio.sleep(0.001)
    assert await status("old") == 200
    await clock.advance(AGAIN_SECONDS)
    issuer.publish(new=NEW)
    assert await status("new") == 503
    issuer.down = False
    await clock.advance(AGAIN_SECONDS)
    assert await status("new") == 200


async def test_a_server_that_never_reached_its_issuer_says_so(world) -> None:
    """503: it is not the token that is wrong."""
    issuer, _, status = world
    issuer.down = True
    assert await status("old") == 503


async def test_a_secret_in_the_set_is_no_key(world) -> None:
    """Who publishes one does not make everybody an issuer."""
    issuer, clock, status = world
    issuer.publish(shared=SECRET.encode())
    now = clock.now() / 1e9
    text = token(headers={"kid": "shared"}, iat=now, exp=now + 100)
    assert await status(None, text) == 401
