"""Authentication over HTTP: every route with every scope, every way to send a token, forged tokens, and tickets."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time

import httpx2
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from tickwire.auth_wiring import create_guard
from tickwire.errors import SettingsError
from tickwire.server.auth.rules import RULES, rule_for
from tickwire.server.http_errors import Unauthorized
from tickwire.testing.clock import ManualClock
from tickwire.testing.server import run_server
from tickwire.testing.tokens import TEST_SECRET, TOKEN_AUTH, bearer_header, sign_token
from tickwire.testing.waiting import wait_until
from tickwire.testing.wire import open_stream

RSA = rsa.generate_private_key(65537, 2048)
P256 = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()


def public_pem(key) -> bytes:
    """Return the public half of a key in PEM format."""
    encoding, form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(encoding, form)


def is_rejected_by_guard(answer) -> bool:
    """Return whether the guard rejected the request. In these tests, only the guard answers with 401 or 403."""
    return answer.status_code in (401, 403)


@pytest.fixture
async def server():
    async with run_server(**TOKEN_AUTH, auth_cookie="session", auth_query=True) as running:
        yield running


@pytest.fixture
async def client(server):
    async with httpx2.AsyncClient(base_url=server.url) as http:
        yield http


BODIES = {
    ("POST", "/v1/quotes"): [{"symbol": "A", "last": 1}],
    ("POST", "/v1/screens/check"): {"filter": "last > 5"},
    ("POST", "/v1/messages"): {"event": "note", "data": 1},
    ("PATCH", "/v1/clients/"): {"add": ["A"]},
}
# For None, the client sends no token. For "", the client sends a token without a scope.
SCOPES = [None, "", "publish", "messages", "admin", "metrics"]


def is_scope_sufficient(requirement: str, scope: str | None) -> bool:
    """Return whether a token with this scope satisfies the requirement of a rule."""
    if requirement in ("nothing", "optional token"):
        return True
    if scope is None:
        return False
    return requirement in ("token", scope) or (requirement == "metrics" and scope == "admin")


def test_every_route_has_a_rule_and_every_rule_a_route(server) -> None:
    """A new route stays closed until somebody adds a rule for it."""
    document = server.app._http_app.rest_api.openapi()
    routes = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    # The OpenAPI document does not contain the pages.
    routes |= {("GET", path) for path in ("/", "/app/{name}", "/docs", "/openapi.json", "/asyncapi.json")}
    assert [route for route in routes if rule_for(route[0], route[1].replace("{", "").replace("}", "")) is None] == []
    prefixes = {(method, path.partition("{")[0]) for method, path in routes}
    assert set(RULES) - prefixes == set()


@pytest.mark.parametrize("source", ["header", "cookie"])
async def test_every_route_with_every_scope(client, source) -> None:
    """With a sufficient scope, the route answers. Else the status is 401 without a token, and 403 with a token."""
    for (method, path), rule in RULES.items():
        if path == "/v1/stream":
            continue
        for scope in SCOPES:
            token = None if scope is None else sign_token(scope)
            headers = (
                {}
                if token is None
                else bearer_header(token)
                if source == "header"
                else {"cookie": f"a=b; session={token}"}
            )
            url = path if not path.endswith("/") or path == "/" else f"{path}A"
            answer = await client.request(method, url, headers=headers, json=BODIES.get((method, path)))
            is_allowed = is_scope_sufficient(rule.requirement, scope)
            assert is_rejected_by_guard(answer) != is_allowed, (method, path, scope, answer.text)
            if not is_allowed:
                assert answer.status_code == (401 if scope is None else 403)
                assert answer.headers["content-type"] == "application/problem+json"


async def test_a_stream_opens_with_every_kind_of_credential(server, client) -> None:
    """Only a ticket or a token opens a stream. The token is in a header, in a cookie, or (if allowed) in the URL."""
    ticket = (await client.post("/v1/tickets", headers=bearer_header(sign_token()))).json()["ticket"]
    accepted = [
        ({}, bearer_header(sign_token())),
        ({}, {"cookie": f"session={sign_token()}"}),
        ({"access_token": sign_token()}, {}),
        ({"ticket": ticket}, {"cookie": "session=old"}),
    ]
    for params, headers in accepted:
        async with open_stream(server.url, params, headers=headers) as stream:
            assert (stream.status, (await stream.next_event()).name) == (200, "welcome")
    used_ticket = {"ticket": ticket}
    rejected = [
        ({}, {}, 401),
        ({}, {"authorization": "Basic YTpi"}, 401),
        ({}, {"authorization": "Bearer "}, 401),
        (used_ticket, {}, 401),
        ({"ticket": sign_token()}, {}, 401),
        ({"access_token": sign_token()}, bearer_header(sign_token()), 400),
        ({}, {"cookie": f"session={sign_token()}; session=other"}, 400),
    ]
    for params, headers, status in rejected:
        async with open_stream(server.url, params, headers=headers) as stream:
            assert stream.status == status, (params, headers)
    for query in (
        f"ticket=a&access_token={sign_token()}",
        f"access_token={sign_token()}&access%5Ftoken={sign_token()}",
    ):
        assert (await client.get(f"/v1/stream?{query}")).status_code == 400


async def test_a_ticket_or_url_token_opens_only_streams(client) -> None:
    """Other calls accept no token in their URL, because clients of these calls can set a header."""
    ticket = (await client.post("/v1/tickets", headers=bearer_header(sign_token("admin")))).json()["ticket"]
    for query in (f"ticket={ticket}", f"access_token={sign_token('admin')}"):
        assert (await client.get(f"/v1/quotes?{query}")).status_code == 401
        assert (await client.get(f"/v1/clients?{query}")).status_code == 401


async def test_a_token_in_the_url_is_rejected_by_default() -> None:
    async with (
        run_server(**TOKEN_AUTH) as server,
        open_stream(server.url, {"access_token": sign_token()}) as stream,
    ):
        assert (stream.status, (await stream.read_json())["hint"]) == (401, "request a ticket with POST /v1/tickets")


def forge_token(header: object, claims: object, key: bytes = b"") -> str:
    """Return a token whose parts may be invalid. A JWT library would reject such parts."""
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (header, claims)]
    signed = b".".join(parts)
    signature = base64.urlsafe_b64encode(hmac.digest(key, signed, hashlib.sha256)).rstrip(b"=") if key else b""
    return (signed + b"." + signature).decode()


NOW = time.time()
CLAIMS = {"sub": "eve", "scope": "admin", "iat": NOW, "exp": NOW + 1000}
INVALID_TOKENS = {
    "no algorithm": forge_token({"alg": "none"}, CLAIMS),
    "no algorithm in mixed case": forge_token({"alg": "nOnE", "typ": "JWT"}, CLAIMS),
    "another secret": sign_token(key="another secret that is long enough for this"),
    "another algorithm": sign_token(algorithm="HS512", key=TEST_SECRET * 2),
    "signed with an empty key": forge_token({"alg": "HS256"}, CLAIMS, b"\0"),
    "expired": sign_token(exp=NOW - 20),
    "not yet valid": sign_token(nbf=NOW + 10_000),
    "issued in the future": sign_token(iat=NOW + 10_000),
    "without an expiry": sign_token(exp=None),
    "without an issue time": sign_token(iat=None),
    "longer than the maximum age": sign_token(iat=NOW - 1000, exp=NOW + 30 * 86_400 - 900),
    "null symbols": forge_token({"alg": "HS256"}, {**CLAIMS, "symbols": None}, TEST_SECRET.encode()),
    "null filter": forge_token({"alg": "HS256"}, {**CLAIMS, "filter": None}, TEST_SECRET.encode()),
    "invalid filter": sign_token(scope="admin", sub="x", filter="last >"),
    "null events": forge_token({"alg": "HS256"}, {**CLAIMS, "events": None}, TEST_SECRET.encode()),
    "valid for years": sign_token(exp=NOW + 1e9),
    "invalid delay": sign_token(scope="admin", sub="x", delay="never"),
    "an unexpected audience": sign_token(aud="others"),
    "not a token": "nonsense",
    "three dots": "...",
    "not ASCII": "ü.ü.ü",
    "deeply nested header": base64.urlsafe_b64encode(b"[" * 4000).decode() + ".e30.e30",
    "a list as header": forge_token(["alg"], CLAIMS),
    "a list as algorithm": forge_token({"alg": ["HS256"]}, CLAIMS, TEST_SECRET.encode()),
    "a list as key id": forge_token({"alg": "HS256", "kid": ["a"]}, CLAIMS, TEST_SECRET.encode()),
    "critical extensions": forge_token({"alg": "HS256", "crit": ["x"], "x": 1}, CLAIMS, TEST_SECRET.encode()),
    "a list as claims": forge_token({"alg": "HS256"}, [1], TEST_SECRET.encode()),
    "an infinite expiry": forge_token({"alg": "HS256"}, {**CLAIMS, "exp": float("inf")}, TEST_SECRET.encode()),
    "huge": sign_token(padding="a" * 20_000),
}


@pytest.mark.parametrize("kind", INVALID_TOKENS)
async def test_an_invalid_token_is_rejected(client, kind) -> None:
    """The response must not contain any part of the token."""
    token = INVALID_TOKENS[kind]
    answer = await client.get("/v1/quotes", headers={b"authorization": b"Bearer " + token.encode()})
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer"), answer.text
    assert all(part not in answer.text for part in token.split(".") if len(part) > 4)


async def test_two_authorization_headers_are_rejected(server) -> None:
    """A proxy in front of the server may have checked a different header than the server."""
    headers = [("authorization", f"Bearer {sign_token()}"), ("authorization", f"Bearer {sign_token('admin')}")]
    async with httpx2.AsyncClient(base_url=server.url) as client:
        assert (await client.get("/v1/quotes", headers=headers)).status_code == 400


@pytest.mark.parametrize(("key", "algorithm"), [(RSA, "RS256"), (P256, "ES256"), (ED, "EdDSA")])
async def test_a_public_key_accepts_only_its_own_algorithm(tmp_path, key, algorithm) -> None:
    """The server must not accept the bytes of a public key as a shared secret (algorithm confusion)."""
    path = tmp_path / "key.pem"
    path.write_bytes(public_pem(key))
    async with run_server(auth="key", auth_key_file=str(path)) as server:
        confused = forge_token({"alg": "HS256"}, CLAIMS, public_pem(key))
        other = sign_token(key=RSA, algorithm="PS256")
        async with httpx2.AsyncClient(base_url=server.url) as client:
            for token, status in ((sign_token(key=key, algorithm=algorithm), 200), (confused, 401), (other, 401)):
                assert (await client.get("/v1/quotes", headers=bearer_header(token))).status_code == status


async def test_issuer_and_audience_must_match_the_settings() -> None:
    options = {"auth_issuer": "https://issuer.example", "auth_audience": "tickwire"}
    async with run_server(**TOKEN_AUTH, **options) as server, httpx2.AsyncClient(base_url=server.url) as client:
        valid = {"iss": "https://issuer.example", "aud": "tickwire"}
        for claims, status in (
            (valid, 200),
            ({**valid, "aud": ["other", "tickwire"]}, 200),
            ({**valid, "iss": "https://other.example"}, 401),
            ({**valid, "iss": None}, 401),
            ({**valid, "aud": "other"}, 401),
            ({**valid, "aud": None}, 401),
        ):
            answer = await client.get("/v1/quotes", headers=bearer_header(sign_token(**claims)))
            assert answer.status_code == status, claims


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"auth": "secret"}, "0 bytes instead of 32 or more"),
        ({"auth": "secret", "auth_secret": "short"}, "5 bytes instead of 32 or more"),
        ({**TOKEN_AUTH, "auth_secret_previous": "short"}, "5 bytes instead of 32 or more"),
        ({"auth": "key", "auth_key_file": "/nowhere.pem"}, "/nowhere.pem"),
        ({"auth": "jwks", "auth_jwks_url": "http://issuer.example/keys"}, "https://"),
        ({"auth": "jwks", "auth_jwks_url": "https://["}, "https://"),
        ({"user_header": "X-User"}, "--trusted-proxies"),
    ],
)
async def test_insecure_settings_stop_the_start(options, message) -> None:
    """The error message must not contain the secret."""
    with pytest.raises(SettingsError, match=message) as error:
        async with run_server(**options):
            pass
    assert "short" not in str(error.value).replace("too short", "")


async def test_a_key_file_must_hold_a_strong_key(tmp_path) -> None:
    small_key = rsa.generate_private_key(65537, 1024)
    for content in (public_pem(small_key), b"nonsense"):
        (tmp_path / "key.pem").write_bytes(content)
        with pytest.raises(SettingsError, match="unusable key file"):
            async with run_server(auth="key", auth_key_file=str(tmp_path / "key.pem")):
                pass


async def test_a_cookie_does_not_authorize_changes_by_foreign_pages(client) -> None:
    """A browser sends the cookie with requests of any page.

    Therefore a change must come from the server's own page, or must have an authorization header.
    """
    cookie = {"cookie": f"session={sign_token('publish')}"}
    for headers, status in (
        ({**cookie, "origin": "https://evil.example"}, 403),
        ({**cookie, "origin": "null"}, 403),
        ({**cookie, "origin": str(client.base_url).rstrip("/")}, 201),
        ({**bearer_header(sign_token("publish")), "origin": "https://elsewhere.example"}, 201),
    ):
        answer = await client.post("/v1/quotes", json=[{"symbol": "A"}], headers=headers)
        assert answer.status_code == status, headers


async def test_an_unused_ticket_expires_after_half_a_minute() -> None:
    clock = ManualClock()
    now = clock.now() / 1e9
    async with run_server(**TOKEN_AUTH, clock=clock) as server, httpx2.AsyncClient(base_url=server.url) as client:
        answer = await client.post("/v1/tickets", headers=bearer_header(sign_token(iat=now, exp=now + 100)))
        await clock.advance(31)
        late = await client.get(answer.json()["url"])
        assert (late.status_code, "30 s" in late.json()["detail"]) == (401, True)


async def test_a_ticket_is_accepted_once_on_all_nodes_of_a_journal(server, client) -> None:
    """A second guard with the same secret and the same journal represents another node."""
    other_node = create_guard(server.app.settings, server.runtime).tickets
    ticket = (await client.post("/v1/tickets", headers=bearer_header(sign_token()))).json()["ticket"]
    assert (await other_node.redeem(ticket)).user == "ann"
    with pytest.raises(Unauthorized, match="used before"):
        await other_node.redeem(ticket)
    assert (await client.get(f"/v1/stream?ticket={ticket}")).status_code == 401


async def test_the_secret_is_replaced_without_an_interruption(tmp_path) -> None:
    """The test follows the steps in docs/security.md. In two steps, tokens and tickets of both secrets are valid."""
    old, new = TEST_SECRET, "another secret that is long enough for this"
    journal = {"auth": "secret", "journal": f"sqlite:{tmp_path / 'journal'}"}
    tickets: dict[str, str] = {}
    for accepted, options in (
        ([old], {"auth_secret": old}),
        ([old, new], {"auth_secret": old, "auth_secret_previous": new}),
        ([old, new], {"auth_secret": new, "auth_secret_previous": old}),
        ([new], {"auth_secret": new}),
    ):
        async with run_server(**journal, **options) as server, httpx2.AsyncClient(base_url=server.url) as client:
            for secret in (old, new):
                token = bearer_header(sign_token(key=secret))
                status = 200 if secret in accepted else 401
                assert (await client.get("/v1/quotes", headers=token)).status_code == status, (options, secret)
                if secret in tickets:
                    async with open_stream(server.url, {"ticket": tickets[secret]}) as stream:
                        assert stream.status == status
            tickets.clear()
            first = bearer_header(sign_token(key=options["auth_secret"]))
            tickets[options["auth_secret"]] = (await client.post("/v1/tickets", headers=first)).json()["ticket"]
            forged = bearer_header(sign_token(key="a third secret that nobody has told the server"))
            assert (await client.get("/v1/quotes", headers=forged)).status_code == 401


async def test_an_open_server_ignores_credentials_and_issues_no_tickets() -> None:
    """A client that always sends a token can connect to a server without authentication, too."""
    async with run_server() as server, httpx2.AsyncClient(base_url=server.url) as client:
        assert (await client.post("/v1/tickets")).status_code == 409
        async with open_stream(server.url, {"access_token": "x", "ticket": "y"}, headers=bearer_header("z")) as stream:
            assert stream.status == 200
        assert (await client.delete("/v1/clients?user=ann")).json() == {"evicted": 0}


async def test_a_path_without_a_rule_is_closed(client) -> None:
    """With a token, the status is 404 for an unknown path and 405 for a wrong method. Without a token, it is 401."""
    for method, path, status in (("GET", "/v1/secret", 404), ("PUT", "/v1/quotes", 405), ("GET", "//v1/quotes", 404)):
        url = str(client.base_url).rstrip("/") + path
        assert (await client.request(method, url)).status_code == 401
        answer = await client.request(method, url, headers=bearer_header(sign_token("admin")))
        assert answer.status_code == status


async def test_denied_requests_are_counted_by_status() -> None:
    async with (
        run_server(**TOKEN_AUTH, max_requests=8) as server,
        httpx2.AsyncClient(base_url=server.url) as client,
    ):
        statuses = [
            (await client.request(method, path, headers=headers, json={"command": "PAUSE"})).status_code
            for method, path, headers in (
                ("POST", "/v1/simulator", {}),
                ("POST", "/v1/simulator", bearer_header("x.y.z")),
                ("POST", "/v1/simulator", bearer_header(sign_token())),
                ("GET", "/v1/stream?symbols=B", bearer_header(sign_token(symbols=["A"]))),
            )
        ]
        assert statuses == [401, 401, 403, 403]
        text = (await client.get("/metrics", headers=bearer_header(sign_token("metrics")))).text
        denied = [line for line in text.splitlines() if line.startswith("tickwire_denied_total")]
        assert denied == [
            f'tickwire_denied_total{{status="{status}"}} {count}'
            for status, count in (("401", 2), ("403", 2), ("429", 0))
        ]


async def test_tokens_without_a_user_and_an_id_are_different_owners() -> None:
    """Each token has its own idempotency keys and limits, even if the request has a ticket of the token."""
    tokens = [sign_token("publish", sub=None, iat=NOW - age) for age in (1, 2)]
    async with run_server(**TOKEN_AUTH) as server, httpx2.AsyncClient(base_url=server.url) as client:
        statuses, owners = [], []
        for token in (*tokens, tokens[0]):
            headers = {**bearer_header(token), "idempotency-key": "k"}
            answer = await client.post("/v1/quotes", json=[{"symbol": "A", "last": 1}], headers=headers)
            statuses.append(answer.status_code)
            ticket = (await client.post("/v1/tickets", headers=bearer_header(token))).json()["ticket"]
            async with open_stream(server.url, {"ticket": ticket}):
                ((reader, _),) = server.runtime.hub.roster.channels.items()
                owners.append(reader.identity.rights.principal)
            await wait_until(lambda: not server.runtime.hub.roster.channels)
        assert statuses == [201, 201, 200]
        assert owners[0] == owners[2] != owners[1]
        assert owners[0].startswith("digest:")
