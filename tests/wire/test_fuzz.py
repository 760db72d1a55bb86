"""Whatever is sent, no answer is the server's fault: requests made from the API's document, and queries by chance."""

from __future__ import annotations

import asyncio
import contextlib
from urllib.parse import quote

import httpx2
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable

from tickwire.server.request import PARAMETERS
from tickwire.testing.server import run_server
from tickwire.testing.tokens import SECRET, bearer, token
from tickwire.testing.wire import open_stream

TOKENS = {"auth": "secret", "auth_secret": SECRET}
EXAMPLES = 10  # of each operation: some seconds in all
QUICK = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.slow
@pytest.mark.timeout(60)
@pytest.mark.parametrize("options", [{}, TOKENS], ids=["open", "tokens"])
async def test_no_request_by_the_document_is_the_servers_fault(options) -> None:
    """All operations but the stream, with values that fit their schemas and values that do not: never 5xx."""
    async with run_server(**options, feed="simulator", max_body=20_000) as server:
        async with httpx2.AsyncClient(base_url=server.url) as client:
            document = (await client.get("/openapi.json")).json()
        del document["paths"]["/v1/stream"]
        asked = await asyncio.to_thread(_call_all, document, server.url)
        assert asked >= EXAMPLES


def _call_all(document, url: str) -> int:
    """Blocking, in a thread of its own."""
    asked = 0
    headers = bearer(token("publish messages admin"))
    for each in schemathesis.openapi.from_dict(document).get_all_operations():
        operation = each.ok()
        for mode in (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE):
            strategy = operation.as_strategy(generation_mode=mode)

            @QUICK
            @given(strategy)
            def call(case) -> None:
                nonlocal asked
                asked += 1
                answer = case.call(base_url=url, headers=headers, timeout=10)
                assert answer.status_code < 500, f"{case.method} {case.path}: {answer.text}"

            with contextlib.suppress(Unsatisfiable):  # nothing to get wrong in a call without parameters
                call()
    return asked


BODIES = [b"0 0", b"0x", b"\n0x", b"{}\n0x", b"\xff", b"[" * 10_000, b'{"a":' * 10_000, b'"\\ud800"', b"NaN", b"null"]
BODIES += [b"a = " + b"[" * 10_000, b"[a" + b".a" * 10_000 + b"]"]  # TOML


async def test_no_body_is_the_servers_fault() -> None:
    """Whatever takes a body says what is wrong with one that begins well, ends badly, or is deep."""
    async with run_server(feed="simulator") as server, httpx2.AsyncClient(base_url=server.url) as client:
        document = (await client.get("/openapi.json")).json()
        for path, methods in document["paths"].items():
            for method in [method for method, about in methods.items() if "requestBody" in about]:
                for body in BODIES:
                    answer = await client.request(method.upper(), path.replace("{client_id}", "x"), content=body)
                    assert 400 <= answer.status_code < 500, (method, path, body[:20], answer.text)


NAMES = st.sampled_from([*PARAMETERS, "interval", "filter", "x", ""])
VALUES = st.one_of(
    st.sampled_from(["", "*", "A", "A,B*", "last > 5", "quote,screen", "1s", "all", "latest", "earliest", "true", "0"]),
    st.sampled_from(["1767366000000000", "2026-01-01", "abc123-5", "9" * 30, "%00", "%ff", "\x00", "a" * 2000]),
    st.text(max_size=20),
)
QUERIES = st.lists(st.tuples(NAMES, VALUES), max_size=6).map(
    lambda pairs: "&".join(f"{name}={quote(value, safe='%')}" for name, value in pairs)
)
RAW = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, blacklist_characters="#"), max_size=60)


@pytest.mark.parametrize("options", [{}, {**TOKENS, "auth_query": True}], ids=["open", "tokens"])
async def test_no_query_of_a_stream_is_the_servers_fault(options) -> None:
    """200 or a refusal that names what is wrong; never 5xx, and the server goes on."""
    found: set[int] = set()
    async with run_server(**options) as server:

        async def ask(query: str) -> None:
            headers = bearer(token())
            async with open_stream(server.url, path=f"/v1/stream?{query}&client_id=x", headers=headers) as stream:
                found.add(stream.status)
                assert stream.status < 500, query

        loop = asyncio.get_running_loop()

        @settings(QUICK, max_examples=150)
        @given(st.one_of(QUERIES, RAW))
        def fuzz(query: str) -> None:
            asyncio.run_coroutine_threadsafe(ask(query), loop).result(10)

        await asyncio.to_thread(fuzz)
        await ask("symbols=A")
        assert 200 in found
