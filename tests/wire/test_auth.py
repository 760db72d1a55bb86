"""Who gets in: every route with every right by every way, and what attackers try."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
import time

import httpx2
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from tickwire.errors import SettingsError
from tickwire.hub import changes, kept
from tickwire.server import clients
from tickwire.server.rules import RULES, rule_for
from tickwire.server.service import WRITTEN_BURST
from tickwire.testing.clock import ManualClock
from tickwire.testing.server import run_server
from tickwire.testing.tokens import SECRET, bearer, token
from tickwire.testing.wire import open_stream

TOKENS = {"auth": "secret", "auth_secret": SECRET}
RSA = rsa.generate_private_key(65537, 2048)
P256 = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()


def pem(key) -> bytes:
    """The public half, as files have it."""
    encoding, form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(encoding, form)


def refused(answer) -> bool:
    """Whether it is the guard that said no: no route answers 401 or 403 by itself to these requests."""
    return answer.status_code in (401, 403)


@pytest.fixture
async def server():
    async with run_server(**TOKENS, auth_cookie="session", auth_query=True) as running:
        yield running


@pytest.fixture
async def client(server):
    async with httpx2.AsyncClient(base_url=server.url) as opened:
        yield opened


BODIES = {
    ("POST", "/v1/quotes"): [{"symbol": "A", "last": 1}],
    ("POST", "/v1/screens/check"): {"filter": "last > 5"},
    ("POST", "/v1/messages"): {"event": "note", "data": 1},
    ("PATCH", "/v1/clients/"): {"add": ["A"]},
}
KINDS = [None, "", "publish", "messages", "admin", "metrics"]


def enough(needs: str, scope: str | None) -> bool:
    """What the table means."""
    if needs == "nothing":
        return True
    if scope is None:
        return False
    return needs in ("token", scope) or (needs == "metrics" and scope == "admin")


def test_every_route_has_a_rule_and_every_rule_a_route(server) -> None:
    """So that a new route is closed until somebody says who may use it."""
    document = server.app._edge.rest.openapi()  # with the stream and publishing, which the framework does not see
    routes = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    routes |= {("GET", path) for path in ("/", "/app/{name}", "/docs", "/openapi.json")}  # the document leaves them out
    assert [route for route in routes if rule_for(route[0], route[1].replace("{", "").replace("}", "")) is None] == []
    named = {(method, path.partition("{")[0]) for method, path in routes}
    assert set(RULES) - named == set()


@pytest.mark.parametrize("way", ["header", "cookie"])
async def test_every_route_with_every_right(client, way) -> None:
    """Who has the right gets the route's own answer, others 401 without a token and 403 with one."""
    for (method, path), rule in RULES.items():
        if path == "/v1/stream":
            continue
        for scope in KINDS:
            text = None if scope is None else token(scope)
            headers = {} if text is None else bearer(text) if way == "header" else {"cookie": f"a=b; session={text}"}
            url = path if not path.endswith("/") or path == "/" else f"{path}A"
            answer = await client.request(method, url, headers=headers, json=BODIES.get((method, path)))
            expected = enough(rule.needs, scope)
            assert refused(answer) != expected, (method, path, scope, answer.text)
            if not expected:
                assert answer.status_code == (401 if scope is None else 403)
                assert answer.headers["content-type"] == "application/problem+json"


async def test_a_stream_by_every_way(server, client) -> None:
    """A token opens it in a header, a cookie, the URL where that is allowed, or as a ticket; nothing else does."""
    ticket = (await client.post("/v1/tickets", headers=bearer(token()))).json()["ticket"]
    good = [
        ({}, bearer(token())),
        ({}, {"cookie": f"session={token()}"}),
        ({"access_token": token()}, {}),
        ({"ticket": ticket}, {"cookie": "session=old"}),
    ]
    for params, headers in good:
        async with open_stream(server.url, params, headers=headers) as stream:
            assert (stream.status, (await stream.event()).name) == (200, "welcome")
    bad = [
        ({}, {}, 401),
        ({}, {"authorization": "Basic YTpi"}, 401),
        ({}, {"authorization": "Bearer "}, 401),
        ({"ticket": ticket}, {}, 401),  # used
        ({"ticket": token()}, {}, 401),
        ({"access_token": token()}, bearer(token()), 400),
        ({}, {"cookie": f"session={token()}; session=other"}, 400),
    ]
    for params, headers, status in bad:
        async with open_stream(server.url, params, headers=headers) as stream:
            assert stream.status == status, (params, headers)
    for query in (f"ticket=a&access_token={token()}", f"access_token={token()}&access%5Ftoken={token()}"):
        assert (await client.get(f"/v1/stream?{query}")).status_code == 400


async def test_a_ticket_or_url_token_opens_nothing_but_a_stream(client) -> None:
    """Other calls can set a header, and a URL is the worst place for a token."""
    ticket = (await client.post("/v1/tickets", headers=bearer(token("admin")))).json()["ticket"]
    for query in (f"ticket={ticket}", f"access_token={token('admin')}"):
        assert (await client.get(f"/v1/quotes?{query}")).status_code == 401
        assert (await client.get(f"/v1/clients?{query}")).status_code == 401


async def test_tokens_in_urls_are_off_unless_allowed() -> None:
    """And the answer names what to do instead."""
    async with run_server(**TOKENS) as server, open_stream(server.url, {"access_token": token()}) as stream:
        assert (stream.status, (await stream.body())["hint"]) == (401, "POST /v1/tickets for a ticket")


def forged(header: object, claims: object, key: bytes = b"") -> str:
    """A token written by hand."""
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (header, claims)]
    signed = b".".join(parts)
    signature = base64.urlsafe_b64encode(hmac.digest(key, signed, hashlib.sha256)).rstrip(b"=") if key else b""
    return (signed + b"." + signature).decode()


NOW = time.time()
CLAIMS = {"sub": "eve", "scope": "admin", "exp": NOW + 1000}
ATTACKS = {
    "no algorithm": forged({"alg": "none"}, CLAIMS),
    "no algorithm, otherwise spelled": forged({"alg": "nOnE", "typ": "JWT"}, CLAIMS),
    "another secret": token(key="another secret that is long enough for this"),
    "another algorithm": token(algorithm="HS512", key=SECRET * 2),
    "signed with an empty key": forged({"alg": "HS256"}, CLAIMS, b"\0"),
    "expired": token(exp=NOW - 20),
    "not yet valid": token(nbf=NOW + 10_000),
    "from the future": token(iat=NOW + 10_000),
    "without an end": token(exp=None),
    "good for years": token(exp=NOW + 1e9),
    "an end that is no number": token(scope="admin", sub="x", delay="never"),
    "an audience that is not ours": token(aud="others"),
    "no token": "nonsense",
    "three dots": "...",
    "not ASCII": "ü.ü.ü",
    "deeply nested header": base64.urlsafe_b64encode(b"[" * 4000).decode() + ".e30.e30",
    "a header that is a list": forged(["alg"], CLAIMS),
    "an algorithm that is a list": forged({"alg": ["HS256"]}, CLAIMS, SECRET.encode()),
    "a key id that is a list": forged({"alg": "HS256", "kid": ["a"]}, CLAIMS, SECRET.encode()),
    "critical extensions": forged({"alg": "HS256", "crit": ["x"], "x": 1}, CLAIMS, SECRET.encode()),
    "claims that are a list": forged({"alg": "HS256"}, [1], SECRET.encode()),
    "an expiry beyond numbers": forged({"alg": "HS256"}, {"exp": float("inf")}, SECRET.encode()),
    "huge": token(padding="a" * 20_000),
}


@pytest.mark.parametrize("attack", ATTACKS)
async def test_what_is_no_good_token_is_refused(client, attack) -> None:
    """401 with a reason that repeats nothing of the token."""
    text = ATTACKS[attack]
    answer = await client.get("/v1/quotes", headers={b"authorization": b"Bearer " + text.encode()})
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer"), answer.text
    assert all(part not in answer.text for part in text.split(".") if len(part) > 4)


async def test_two_headers_are_refused(server) -> None:
    """A proxy in front may have looked at the other one."""
    headers = [("authorization", f"Bearer {token()}"), ("authorization", f"Bearer {token('admin')}")]
    async with httpx2.AsyncClient(base_url=server.url) as client:
        assert (await client.get("/v1/quotes", headers=headers)).status_code == 400


@pytest.mark.parametrize(("key", "algorithm"), [(RSA, "RS256"), (P256, "ES256"), (ED, "EdDSA")])
async def test_a_public_key_checks_its_own_algorithm_only(tmp_path, key, algorithm) -> None:
    """Nor can its bytes pass for a secret, which is how keys get confused."""
    path = tmp_path / "key.pem"
    path.write_bytes(pem(key))
    async with run_server(auth="key", auth_key_file=str(path)) as server:
        confused = forged({"alg": "HS256"}, CLAIMS, pem(key))
        other = token(key=RSA, algorithm="PS256")
        async with httpx2.AsyncClient(base_url=server.url) as client:
            for text, status in ((token(key=key, algorithm=algorithm), 200), (confused, 401), (other, 401)):
                assert (await client.get("/v1/quotes", headers=bearer(text))).status_code == status


async def test_issuer_and_audience_are_asked_for() -> None:
    """Each has to be there and right where the settings name it."""
    options = {"auth_issuer": "https://issuer.example", "auth_audience": "tickwire"}
    async with run_server(**TOKENS, **options) as server, httpx2.AsyncClient(base_url=server.url) as client:
        right = {"iss": "https://issuer.example", "aud": "tickwire"}
        for claims, status in (
            (right, 200),
            ({**right, "aud": ["other", "tickwire"]}, 200),
            ({**right, "iss": "https://other.example"}, 401),
            ({**right, "iss": None}, 401),
            ({**right, "aud": "other"}, 401),
            ({**right, "aud": None}, 401),
        ):
            assert (await client.get("/v1/quotes", headers=bearer(token(**claims)))).status_code == status, claims


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"auth": "secret"}, "32 bytes at least"),
        ({"auth": "secret", "auth_secret": "short"}, "32 bytes at least"),
        ({"auth": "key", "auth_key_file": "/nowhere.pem"}, "/nowhere.pem"),
        ({"auth": "jwks", "auth_jwks_url": "http://issuer.example/keys"}, "https://"),
        ({"user_header": "X-User"}, "--trusted-proxies"),
    ],
)
async def test_settings_that_would_let_others_in_stop_the_start(options, says) -> None:
    """In one sentence that does not repeat a secret."""
    with pytest.raises(SettingsError, match=says) as found:
        async with run_server(**options):
            pass
    assert "short" not in str(found.value).replace("too short", "")


async def test_a_key_file_has_to_hold_a_strong_key(tmp_path) -> None:
    """Not a small one, and not something else."""
    small = rsa.generate_private_key(65537, 1024)
    for content in (pem(small), b"nonsense"):
        (tmp_path / "key.pem").write_bytes(content)
        with pytest.raises(SettingsError, match="no PEM key for tokens"):
            async with run_server(auth="key", auth_key_file=str(tmp_path / "key.pem")):
                pass


async def test_a_cookie_does_not_let_pages_of_others_act(client) -> None:
    """A browser sends it for any page; so a change has to come from a page of ours, or with a header."""
    cookie = {"cookie": f"session={token('publish')}"}
    for headers, status in (
        ({**cookie, "origin": "https://evil.example"}, 403),
        ({**cookie, "origin": "null"}, 403),
        ({**cookie, "origin": str(client.base_url).rstrip("/")}, 201),
        ({**bearer(token("publish")), "origin": "https://elsewhere.example"}, 201),
    ):
        answer = await client.post("/v1/quotes", json=[{"symbol": "A"}], headers=headers)
        assert answer.status_code == status, headers


async def test_publishing_is_bounded_by_symbols(server, client) -> None:
    """One tick outside refuses the batch."""
    headers = bearer(token("publish", symbols=["A*"]))
    answer = await client.post("/v1/quotes", json=[{"symbol": "AB"}, {"symbol": "B"}], headers=headers)
    assert (answer.status_code, answer.json()["detail"]) == (403, "tick 1: the token does not allow B")
    assert server.runtime.journal.head == 0
    assert (await client.post("/v1/quotes", json=[{"symbol": "AB"}], headers=headers)).status_code == 201


async def test_ones_own_streams_and_no_others(server, client) -> None:
    """A user sees, changes and ends its own streams, also where somebody else chose the same client id."""
    mine, theirs = token(symbols=["A", "B"]), token(sub="bob", symbols=["A"])
    request = {"symbols": "A", "client_id": "desk"}
    async with (
        open_stream(server.url, request, headers=bearer(mine)) as ann,
        open_stream(server.url, request, headers=bearer(theirs)) as bob,
    ):
        for stream in (ann, bob):
            await stream.events(1, name="welcome")
        seen = (await client.get("/v1/clients/desk", headers=bearer(mine))).json()
        assert [each["user"] for each in seen] == ["ann"]
        assert len((await client.get("/v1/clients/desk", headers=bearer(token("admin")))).json()) == 2
        await client.patch("/v1/clients/desk", json={"add": ["B"]}, headers=bearer(mine))
        (told,) = await ann.events(1, name="subscription")
        assert told.data["symbols"] == ["A", "B"]
        assert (await client.get("/v1/clients/user:bob", headers=bearer(mine))).status_code == 404
        assert (await client.delete("/v1/clients/desk", headers=bearer(mine))).json() == {"evicted": 1}
        assert (await ann.events(1, name="bye"))[0].data["reason"] == "evicted"
        await client.post("/v1/quotes", json=[{"symbol": n, "last": 1} for n in "BA"], headers=bearer(token("publish")))
        assert (await bob.event()).data["symbol"] == "A"
        assert (await client.delete("/v1/clients/desk", headers=bearer(mine))).status_code == 404


async def test_a_token_says_how_many_readers() -> None:
    """One more is 429, by user or where it names none by token."""
    for claims in ({"readers": 1}, {"readers": 1, "sub": None, "jti": "t1"}):
        headers = bearer(token(**claims))
        async with run_server(**TOKENS) as server, open_stream(server.url, headers=headers) as first:
            await first.event()
            async with open_stream(server.url, headers=headers) as second:
                assert (second.status, "retry-after" in second.headers) == (429, True)


async def test_a_stream_ends_with_its_token() -> None:
    """After a warning in time to fetch another; and a ticket's stream when the token behind it does."""
    clock = ManualClock()
    now = clock.now() / 1e9
    text = token(iat=now, exp=now + 100)
    async with (
        run_server(**TOKENS, clock=clock, auth_leeway=0) as server,
        httpx2.AsyncClient(base_url=server.url) as client,
    ):
        ticket = (await client.post("/v1/tickets", headers=bearer(text))).json()["ticket"]
        async with (
            open_stream(server.url, headers=bearer(text)) as direct,
            open_stream(server.url, {"ticket": ticket}) as ticketed,
        ):
            await clock.advance(75)
            for stream in (direct, ticketed):
                (warning,) = await stream.events(1, name="expiring")
                assert 20_000 < warning.data["in_ms"] <= 30_000
            await clock.advance(30)
            for stream in (direct, ticketed):
                (bye,) = await stream.events(1, name="bye")
                assert (bye.data["reason"], await stream.event()) == ("expired", None)
        assert (await client.get("/v1/quotes", headers=bearer(text))).status_code == 401


async def test_a_ticket_is_good_for_half_a_minute() -> None:
    """Then it is refused, used or not."""
    clock = ManualClock()
    now = clock.now() / 1e9
    async with run_server(**TOKENS, clock=clock) as server, httpx2.AsyncClient(base_url=server.url) as client:
        answer = await client.post("/v1/tickets", headers=bearer(token(iat=now, exp=now + 100)))
        await clock.advance(31)
        late = await client.get(answer.json()["url"])
        assert (late.status_code, "30 s" in late.json()["detail"]) == (401, True)


async def test_a_ticket_is_good_once_on_all_nodes_of_a_journal(server, client) -> None:
    """Two nodes are two edges with the same secret and journal: what one has taken the other refuses."""
    from tickwire.guarding import make_guard
    from tickwire.server.refusal import Unauthorized

    other = make_guard(server.app.settings, server.runtime).tickets
    ticket = (await client.post("/v1/tickets", headers=bearer(token()))).json()["ticket"]
    assert (await other.redeem(ticket)).user == "ann"
    with pytest.raises(Unauthorized, match="used before"):
        await other.redeem(ticket)
    assert (await client.get(f"/v1/stream?ticket={ticket}")).status_code == 401


@pytest.mark.parametrize("query", ["user=ann", "token=t1"])
async def test_revoking_ends_streams_at_once_and_outlives_a_restart(tmp_path, query) -> None:
    """Others' go on; the token is refused from then on, and a new one of the user is let in."""
    options = {**TOKENS, "journal": f"sqlite:{tmp_path / 'j'}"}
    text = token(jti="t1")
    async with (
        run_server(**options) as server,
        httpx2.AsyncClient(base_url=server.url) as client,
        open_stream(server.url, headers=bearer(text)) as ann,
        open_stream(server.url, headers=bearer(token(sub="bob"))) as bob,
    ):
        for stream in (ann, bob):
            await stream.event()
        answer = await client.delete(f"/v1/clients?{query}", headers=bearer(token("admin", sub="root")))
        assert answer.json() == {"evicted": 1}
        assert [(await ann.event()).data["reason"], await ann.event()] == ["evicted", None]
        publisher = bearer(token("publish", sub="root"))
        await client.post("/v1/quotes", json=[{"symbol": "A", "last": 1}], headers=publisher)
        assert (await bob.event()).data["symbol"] == "A"
    async with run_server(**options) as server, httpx2.AsyncClient(base_url=server.url) as client:
        again = await client.get("/v1/quotes", headers=bearer(text))
        assert (again.status_code, again.json()["detail"]) == (401, "the token was revoked")
        new = bearer(token(jti="t2", iat=time.time() + 1))
        assert (await client.get("/v1/quotes", headers=new)).status_code == 200


async def test_revoking_names_one_user_or_token(client) -> None:
    """Neither or both is a mistake."""
    for query in ("", "?user=a&token=b"):
        assert (await client.delete(f"/v1/clients{query}", headers=bearer(token("admin")))).status_code == 400


async def test_an_open_server_has_no_tickets_and_takes_tokens_along() -> None:
    """A client that always sends one works there too."""
    async with run_server() as server, httpx2.AsyncClient(base_url=server.url) as client:
        assert (await client.post("/v1/tickets")).status_code == 409
        async with open_stream(server.url, {"access_token": "x", "ticket": "y"}, headers=bearer("z")) as stream:
            assert stream.status == 200
        assert (await client.delete("/v1/clients?user=ann")).json() == {"evicted": 0}


async def test_what_has_no_rule_is_closed(client) -> None:
    """A path that nobody wrote down is 404 with a token, a wrong method 405, and both 401 without one."""
    for method, path, status in (("GET", "/v1/secret", 404), ("PUT", "/v1/quotes", 405), ("GET", "//v1/quotes", 404)):
        assert (await client.request(method, str(client.base_url).rstrip("/") + path)).status_code == 401
        answer = await client.request(method, str(client.base_url).rstrip("/") + path, headers=bearer(token("admin")))
        assert answer.status_code == status


async def test_idempotency_keys_are_their_publishers_own(client) -> None:
    """The same key of another user, or of another token without a user, is another batch; one's own is a repetition."""
    publishers = [token("publish", sub=name) for name in ("ann", "bob")]
    publishers += [token("publish", sub=None, jti=name) for name in ("one", "two")]

    async def send(text: str) -> tuple[int, str]:
        headers = {"idempotency-key": "1", **bearer(text)}
        answer = await client.post("/v1/quotes", json=[{"symbol": "A", "last": 1}], headers=headers)
        return answer.status_code, answer.json()["first_id"]

    first = [await send(text) for text in publishers]
    assert [status for status, _ in first] == [201] * 4
    again = token("publish", sub="ann", jti="another of hers")
    assert [await send(text) for text in [again, *publishers[1:]]] == [(200, id_) for _, id_ in first]


async def test_a_change_that_leaves_nothing_is_refused(server, client) -> None:
    """403, as for a stream that would be of nothing; what was asked for before stays."""
    mine = bearer(token(symbols=["A"]))
    async with open_stream(server.url, {"symbols": "A", "client_id": "desk"}, headers=mine):
        answer = await client.patch("/v1/clients/desk", json={"symbols": ["B"]}, headers=mine)
        assert (answer.status_code, answer.json()["field"]) == (403, "symbols")
        (reader,) = (await client.get("/v1/clients/desk", headers=mine)).json()
        assert reader["subscription"]["symbols"] == ["A"]
        assert (await client.patch("/v1/clients/desk", json={"add": ["B"]}, headers=mine)).status_code == 200


async def test_who_writes_much_through_a_plain_token_is_held_up() -> None:
    """Lists and changes are events of the journal: a user has a share of it. Others, and an admin, are not held up."""
    clock = ManualClock()
    now = clock.now() / 1e9
    good = {"iat": now, "exp": now + 100}
    async with run_server(**TOKENS, clock=clock) as server, httpx2.AsyncClient(base_url=server.url) as client:

        async def put(number: int, headers) -> httpx2.Response:
            symbols = [f"{number:06}{place:010}" for place in range(1_000)]
            return await client.post("/v1/subscriptions", json={"symbols": symbols}, headers=headers)

        who = (("ann", ""), ("bob", ""), ("root", "admin"))
        ann, bob, root = (bearer(token(scope, sub=name, **good)) for name, scope in who)
        number = 0
        while (answer := await put(number, ann)).status_code == 201:
            number += 1
        assert WRITTEN_BURST // 20_000 < number <= WRITTEN_BURST // 17_000
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "1"), answer.text
        assert "16,384 bytes of changes and lists a second" in answer.json()["detail"]
        for number, other in enumerate((bob, root)):
            assert (await put(1_000 + number, other)).status_code == 201
        async with open_stream(server.url, {"symbols": "A", "client_id": "x"}, headers=ann) as stream:
            await stream.event()
            for number in range(10):  # what is left is less than another list
                wish = {"symbols": [f"{number:06}{place:010}" for place in range(100)]}
                changed = await client.patch("/v1/clients/x", json=wish, headers=ann)
            assert changed.status_code == 429
        await clock.advance(2)
        assert (await put(2_000, ann)).status_code == 201


async def test_refusals_are_counted_by_status() -> None:
    """Requests without a good token, with one that may not, and too many of them: each status has its count."""
    async with run_server(**TOKENS, max_requests=8) as server, httpx2.AsyncClient(base_url=server.url) as client:
        seen = [
            (await client.request(method, path, headers=headers, json={"command": "PAUSE"})).status_code
            for method, path, headers in (
                ("POST", "/v1/simulator", {}),
                ("POST", "/v1/simulator", bearer("x.y.z")),
                ("POST", "/v1/simulator", bearer(token())),
                ("GET", "/v1/stream?symbols=B", bearer(token(symbols=["A"]))),
            )
        ]
        assert seen == [401, 401, 403, 403]
        text = (await client.get("/metrics", headers=bearer(token("metrics")))).text
        denied = [line for line in text.splitlines() if line.startswith("tickwire_denied_total")]
        assert denied == [
            f'tickwire_denied_total{{status="{status}"}} {count}'
            for status, count in (("401", 2), ("403", 2), ("429", 0))
        ]


@pytest.fixture
async def crowd(server):
    """Twelve streams of one user, each with an id of its own."""
    async with contextlib.AsyncExitStack() as stack:
        for number in range(12):
            params = {"symbols": "A", "client_id": f"x{number}"}
            stream = await stack.enter_async_context(open_stream(server.url, params, headers=bearer(token(sub="ann"))))
            await stream.event()
        yield [f"/v1/clients/x{number}" for number in range(12)]


async def test_a_share_cannot_be_exceeded_by_asking_at_once(server, client, crowd, monkeypatch) -> None:
    """A user's changes take turns, so that each finds what the one before it left. An admin is not counted."""
    monkeypatch.setattr(changes, "USER_CHANGES", 5)

    async def change_all(headers) -> list[int]:
        answers = [client.patch(url, json={"add": ["B"]}, headers=headers) for url in crowd]
        return sorted(answer.status_code for answer in await asyncio.gather(*answers))

    assert await change_all(bearer(token(sub="ann"))) == [200] * 5 + [429] * 7
    assert server.runtime.hub.stats().changed == 5
    assert await change_all(bearer(token("admin", sub="root"))) == [200] * 12


async def test_a_share_cannot_be_exceeded_by_one_change_of_many(server, client, monkeypatch) -> None:
    """One change may be of many requests with one id: they are counted together, and none is made."""
    monkeypatch.setattr(changes, "USER_CHANGES", 5)
    mine = bearer(token(sub="ann"))
    async with contextlib.AsyncExitStack() as stack:
        for number in range(6):
            params = {"symbols": f"S{number}", "client_id": "x"}
            stream = await stack.enter_async_context(open_stream(server.url, params, headers=mine))
            await stream.event()
        assert (await client.patch("/v1/clients/x", json={"add": ["B"]}, headers=mine)).status_code == 429
        assert server.runtime.hub.stats().changed == 0


async def test_a_change_that_no_share_allows_is_not_put_off(client, crowd, monkeypatch) -> None:
    """413: to come back later, as 429 asks for, would be of no use."""
    monkeypatch.setattr(clients, "WRITTEN_BURST", 100)
    answer = await client.patch(crowd[0], json={"add": ["B"]}, headers=bearer(token(sub="ann")))
    assert answer.status_code == 413, answer.text
    assert (await client.patch(crowd[0], json={"add": ["B"]}, headers=bearer(token("admin")))).status_code == 200


async def test_a_user_has_a_share_of_the_lists_that_are_kept(tmp_path, monkeypatch) -> None:
    """Over a restart too. Others, and an admin, find room; so does who puts down what is kept already."""
    monkeypatch.setattr(kept, "USER_BYTES", 10)
    options = {**TOKENS, "journal": f"sqlite:{tmp_path / 'j'}"}
    who = (("ann", ""), ("bob", ""), ("root", "admin"))
    ann, bob, root = (bearer(token(scope, sub=name)) for name, scope in who)
    for steps in (
        ((ann, "A", 201), (ann, "B", 429), (bob, "B", 201)),
        ((ann, "C", 429), (ann, "A", 201), (root, "C", 201)),
    ):
        async with run_server(**options) as server, httpx2.AsyncClient(base_url=server.url) as client:
            for headers, symbol, status in steps:
                answer = await client.post("/v1/subscriptions", json={"symbols": [symbol]}, headers=headers)
                assert (answer.status_code, symbol) == (status, symbol)
