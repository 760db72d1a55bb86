"""A publisher halts and resumes trading in its symbols."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest

from tickwire.server.routes import halts
from tickwire.testing.server import run_server
from tickwire.testing.tokens import TEST_SECRET, bearer_header, sign_token
from tickwire.testing.wire import open_stream

TICKS = [{"symbol": symbol, "last": 1.0} for symbol in ("A", "B", "C")]


async def test_halts_and_resumes_reach_readers_and_survive_a_restart(tmp_path) -> None:
    journal = f"sqlite:{tmp_path}/j"
    async with run_server(journal=journal) as server, httpx2.AsyncClient(base_url=server.url) as client:
        await client.post("/v1/quotes", json=TICKS)
        async with open_stream(server.url, {"events": "status"}) as stream:
            answer = await client.post("/v1/halts", json={"halt": ["A", "B"]})
            assert (answer.status_code, answer.json()) == (200, {"halted": ["A", "B"]})
            assert (await client.post("/v1/halts", json={"halt": ["C"], "resume": ["A"]})).json() == {
                "halted": ["B", "C"]
            }
            seen = {}
            while seen != {"A": "running", "B": "halted", "C": "halted"}:
                (event,) = await stream.next_events(1, name="status")
                if event.data["symbol"] is not None:
                    seen[event.data["symbol"]] = event.data["state"]
    async with run_server(journal=journal) as server, open_stream(server.url, {"events": "status"}) as stream:
        while (event := (await stream.next_events(1, name="status"))[0]).data["symbol"] is not None:
            pass
        assert event.data["halted"] == ["B", "C"]


@pytest.mark.parametrize(
    "body",
    [{}, {"halt": ["A"], "resume": ["A"]}, {"halt": ["A", "A"]}, {"halt": ["NEW"]}, {"halt": ["A B "]}, {"halt": "A"},
     {"stop": ["A"]}, {"halt": ["A"] * 101}, []],
)  # fmt: skip
async def test_an_invalid_request_changes_nothing(body: Any) -> None:
    async with run_server() as server, httpx2.AsyncClient(base_url=server.url) as client:
        await client.post("/v1/quotes", json=TICKS)
        assert (await client.post("/v1/halts", json=body)).status_code == 400
        assert server.runtime.status.halted_symbols == set()


async def test_the_number_of_halted_symbols_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(halts, "MAX_HALTED_SYMBOLS", 2)
    async with run_server() as server, httpx2.AsyncClient(base_url=server.url) as client:
        await client.post("/v1/quotes", json=TICKS)
        assert (await client.post("/v1/halts", json={"halt": ["A", "B"]})).status_code == 200
        assert (await client.post("/v1/halts", json={"halt": ["C"]})).status_code == 429
        assert (await client.post("/v1/halts", json={"halt": ["C"], "resume": ["A"]})).status_code == 200


async def test_a_halt_needs_the_right_to_publish_the_symbol() -> None:
    async with (
        run_server(auth="secret", auth_secret=TEST_SECRET) as server,
        httpx2.AsyncClient(base_url=server.url) as client,
    ):
        publisher = bearer_header(sign_token("publish", user="ann"))
        await client.post("/v1/quotes", json=TICKS, headers=publisher)
        for scope, claims in (("", {}), ("publish", {"symbols": ["B"]})):
            headers = bearer_header(sign_token(scope, user="bob", **claims))
            assert (await client.post("/v1/halts", json={"halt": ["A"]}, headers=headers)).status_code == 403
        assert (await client.post("/v1/halts", json={"halt": ["A"]}, headers=publisher)).status_code == 200
