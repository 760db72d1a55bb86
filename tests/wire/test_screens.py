"""Filters over real sockets: what a server says of them, and what the command line makes of it."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import httpx2
import pytest

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


async def check(client, question: object) -> httpx2.Response:
    content = question if isinstance(question, str | bytes) else json.dumps(question)
    return await client.post("/v1/screens/check", content=content)


async def test_what_a_filter_means(client) -> None:
    """Its normal form, its fields, what it costs, and who matches now."""
    answer = await check(client, {"filter": "VOLUME > 1M or last>10"})
    assert answer.status_code == 200
    assert answer.json() == {
        "valid": True,
        "filter": "last > 10 or volume > 1000000",
        "fields": ["last", "volume"],
        "cost": "bounds",
        "symbols": ["A", "B"],
        "explained": None,
    }
    answer = await check(client, {"filter": "(last - bid) / last < 5%"})
    assert (answer.json()["cost"], answer.json()["symbols"]) == ("calculated", ["A"])


async def test_why_a_symbol_matches_or_not(client) -> None:
    """Each condition with what it compares; a symbol without a quote has no reasons."""
    answer = await check(client, {"filter": 'last > 10 and not bid > 10 and symbol like "%"', "symbol": "A"})
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
    answer = await check(client, {"filter": "last > 1", "symbol": "C"})
    assert answer.json()["explained"]["reasons"] == [
        {"condition": "last > 1", "values": {"last": None}, "holds": False}
    ]
    answer = await check(client, {"filter": "last > 1", "symbol": "ZZZ"})
    assert answer.json()["explained"] == {"symbol": "ZZZ", "traded": False, "matches": False, "reasons": []}


WRONG = [
    ({"filter": "last > "}, {"field": "filter", "position": 7}, "the filter ends, expected a field"),
    ({"filter": "lst > 1"}, {"position": 0, "hint": "did you mean last?", "caret": "lst > 1\n^"}, "'lst' is no field"),
    ({"filter": "last > 1", "symbol": "A B"}, {"field": "symbol"}, "cannot be a symbol"),
    ({"filter": 5}, {}, "expected `str`, got `int`"),
    ({"fliter": "last > 1"}, {}, "unknown field `fliter`"),
    ({}, {}, "missing required field `filter`"),
    ("last > 1", {}, "the body is no JSON"),
    ('{"filter": "\\ud800"}', {}, ""),
    (b'{"filter": "\xff"}', {}, "the body is no JSON"),
    ('{"filter": "' + "(" * 4_000 + '"}', {}, "nested deeper than 32 levels"),
    ('{"filter": "' + "x" * 5_000 + '"}', {"position": 4_000}, "longer than 4000 characters"),
    ("[" * 5_000, {}, ""),
]


@pytest.mark.parametrize(("question", "members", "says"), WRONG)
async def test_what_is_wrong_is_a_problem_with_its_place(client, question: object, members: dict, says: str) -> None:
    """400, with position, hint and caret where it is the filter that is wrong."""
    answer = await check(client, question)
    problem = answer.json()
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")
    assert says in problem["detail"]
    assert problem.items() >= members.items()


async def test_questions_are_bounded(client) -> None:
    """A body that no filter needs is refused."""
    assert (await check(client, " " * 70_000)).status_code == 413


async def tickwire(*arguments: str, cwd: Path) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tickwire", *arguments, cwd=cwd,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env={**os.environ, "COLUMNS": "200"},
    )  # fmt: skip
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


async def test_check_filter_in_the_terminal(tmp_path: Path) -> None:
    """By itself it knows the language, with a server also the market."""
    async with run_server() as server:
        async with httpx2.AsyncClient(base_url=server.url) as client:
            await client.post("/v1/quotes", json=TICKS)
        local = await tickwire("check-filter", "volume > 1M", cwd=tmp_path)
        remote = await tickwire("check-filter", "volume > 1M", "--url", server.url, "--symbol", "A", cwd=tmp_path)
    assert local == (0, "filter  volume > 1000000\nfields  volume\ncost    bounds\n", "")
    assert remote == (0, local[1] + "now     1 symbol matches: B\n\nA does not match\n"
                                    "  no   volume > 1000000  (volume is 2)\n", "")  # fmt: skip


async def test_check_filter_shows_where_a_filter_is_wrong(tmp_path: Path) -> None:
    """The filter, a caret below the place, and one line with what to do; exit code 2."""
    code, out, err = await tickwire("check-filter", "last > 5 and volum > 1", cwd=tmp_path)
    caret = "last > 5 and volum > 1\n             ^\n"
    assert (code, out, err) == (2, "", f"{caret}tickwire: 'volum' is no field (did you mean volume?)\n")
    code, _, err = await tickwire("check-filter", "last > 5", "--symbol", "A", cwd=tmp_path)
    assert (code, err.count("\n")) == (2, 1)
    assert "--symbol asks for a quote: name a server with --url" in err
    code, _, err = await tickwire("check-filter", "last > 5", "--url", "http://127.0.0.1:9", cwd=tmp_path)
    assert (code, err.count("\n")) == (1, 1)


async def test_the_filters_benchmark_has_a_row_for_each_way(tmp_path: Path) -> None:
    """Also as JSON, with the microseconds a tick."""
    arguments = ("--filters", "50", "--seconds", "0.2", "--json", "figures.json")
    code, _, err = await tickwire("bench", "filters", *arguments, cwd=tmp_path)
    assert (code, err) == (0, "")
    rows = json.loads((tmp_path / "figures.json").read_text())["rows"]
    assert len(rows) == 8
    assert all(row["us_per_tick"] > 0 for row in rows)
