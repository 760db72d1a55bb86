"""The check of filters: POST /v1/screens/check and `tickwire check-filter`."""

from __future__ import annotations

import json

import httpx2
import pytest

from tickwire.testing.command_line import invoke_command_in_thread
from tickwire.testing.server import run_server

TICKS = [
    {"symbol": "A", "last": 10.5, "size": 2, "bid": 10.25},
    {"symbol": "B", "last": 2, "size": 2_000_000},
    {"symbol": "C", "bid": 1},
]


@pytest.fixture
async def server():
    async with run_server() as running, httpx2.AsyncClient(base_url=running.url) as client:
        await client.post("/v1/quotes", json=TICKS)
        yield running


@pytest.fixture
async def client(server):
    async with httpx2.AsyncClient(base_url=server.url) as opened:
        yield opened


async def check_filter(client, body: object) -> httpx2.Response:
    content = body if isinstance(body, str | bytes) else json.dumps(body)
    return await client.post("/v1/screens/check", content=content)


async def test_check_returns_normal_form_fields_cost_and_matches(client) -> None:
    answer = await check_filter(client, {"filter": "VOLUME > 1M or last>10"})
    assert answer.status_code == 200
    assert answer.json() == {
        "valid": True,
        "filter": "last > 10 or volume > 1000000",
        "fields": ["last", "volume"],
        "cost": "bounds",
        "symbols": ["A", "B"],
        "explained": None,
    }
    answer = await check_filter(client, {"filter": "(last - bid) / last < 5%"})
    assert (answer.json()["cost"], answer.json()["symbols"]) == ("calculated", ["A"])


async def test_check_explains_each_condition_for_a_symbol(client) -> None:
    """The response contains no reasons for a symbol without a quote."""
    answer = await check_filter(client, {"filter": 'last > 10 and not bid > 10 and symbol like "%"', "symbol": "A"})
    assert answer.json()["explained"] == {
        "symbol": "A",
        "traded": True,
        "matches": False,
        "reasons": [
            {"condition": "last > 10", "values": {"last": 10.5}, "holds": True},
            {"condition": "not bid > 10", "values": {"bid": 10.25}, "holds": False},
            {"condition": 'symbol like "%"', "values": {"symbol": "A"}, "holds": True},
        ],
    }
    answer = await check_filter(client, {"filter": "last > 1", "symbol": "C"})
    assert answer.json()["explained"]["reasons"] == [
        {"condition": "last > 1", "values": {"last": None}, "holds": False}
    ]
    answer = await check_filter(client, {"filter": "last > 1", "symbol": "ZZZ"})
    assert answer.json()["explained"] == {"symbol": "ZZZ", "traded": False, "matches": False, "reasons": []}


INVALID = [
    (
        {"filter": "last > "},
        {"field": "filter", "position": 7},
        "expected a field, a number or '(', but the filter ends",
    ),
    (
        {"filter": "lst > 1"},
        {"position": 0, "hint": "did you mean last?", "caret": "lst > 1\n^"},
        "unknown field 'lst'",
    ),
    ({"filter": "last > 1", "symbol": "A|B"}, {"field": "symbol"}, "cannot be a symbol"),
    ({"filter": 5}, {}, "expected `str`, got `int`"),
    ({"fliter": "last > 1"}, {}, "unknown field `fliter`"),
    ({}, {}, "missing required field `filter`"),
    ("last > 1", {}, "the body is not valid JSON"),
    ('{"filter": "\\ud800"}', {}, ""),
    (b'{"filter": "\xff"}', {}, "the body is not valid JSON"),
    ('{"filter": "' + "(" * 4_000 + '"}', {}, "nested deeper than 32 levels"),
    ('{"filter": "' + "x" * 5_000 + '"}', {"position": 4_000}, "longer than 4000 characters"),
    ("[" * 5_000, {}, ""),
]


@pytest.mark.parametrize(("body", "members", "detail"), INVALID)
async def test_invalid_requests_are_answered_with_a_problem(client, body: object, members: dict, detail: str) -> None:
    """The problem of an invalid filter has its position, a hint and a caret."""
    answer = await check_filter(client, body)
    problem = answer.json()
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")
    assert detail in problem["detail"]
    assert problem.items() >= members.items()


async def test_oversized_bodies_are_rejected(client) -> None:
    assert (await check_filter(client, " " * 70_000)).status_code == 413


async def test_check_filter_command_prints_the_normal_form(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the command has a server, it also prints the symbols that match."""
    monkeypatch.delenv("TICKWIRE_URL")
    async with run_server() as server:
        async with httpx2.AsyncClient(base_url=server.url) as client:
            await client.post("/v1/quotes", json=TICKS)
        local = await invoke_command_in_thread("check-filter", "volume > 1M")
        remote = await invoke_command_in_thread("check-filter", "volume > 1M", "--url", server.url, "--symbol", "A")
    assert local == (0, "filter  volume > 1000000\nfields  volume\ncost    bounds\n", "")
    assert remote == (0, local[1] + "now     1 symbol matches: B\n\nA does not match\n"
                                    "  no   volume > 1000000  (volume is 2)\n", "")  # fmt: skip


async def test_check_filter_command_shows_the_position_of_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command prints the filter, a caret, and one line with the error and a hint. The exit code is 2."""
    monkeypatch.delenv("TICKWIRE_URL")
    code, stdout, stderr = await invoke_command_in_thread("check-filter", "last > 5 and volum > 1")
    caret = "last > 5 and volum > 1\n             ^\n"
    assert (code, stdout, stderr) == (2, "", f"{caret}tickwire: unknown field 'volum' (did you mean volume?)\n")
    code, _, stderr = await invoke_command_in_thread("check-filter", "last > 5", "--symbol", "A")
    assert (code, stderr.count("\n")) == (2, 1)
    assert "--symbol needs the quotes of a server: add --url" in stderr
    code, _, stderr = await invoke_command_in_thread("check-filter", "last > 5", "--url", "http://127.0.0.1:9")
    assert (code, stderr.count("\n")) == (1, 1)
