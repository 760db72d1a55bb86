"""The command `tickwire record`: a replay of the recording has the same quotes, and a killed recorder can continue."""

from __future__ import annotations

import asyncio
import contextlib
import csv
import gzip
import os
import signal
import sys
from pathlib import Path

import httpx2
import pytest

from tickwire.testing.server import run_server
from tickwire.testing.waiting import wait_until
from tickwire.testing.wire import open_stream

START_US = 1_767_366_000_000_000
DAY_US = 86_400_000_000
TICKS = [
    {"symbol": "BRK.B", "last": 501.25, "size": 3},
    {"symbol": "FX", "bid": 1.1, "ask": 1.2, "bid_size": 1000},
    {"symbol": "BRK.B", "bid": 501.2, "bid_size": 7, "ask": 501.3},
    {"symbol": "BRK.B", "last": 0.1 + 0.2, "size": 0.125},
    {"symbol": "FX", "bid": None, "ask": None},
    {"symbol": "BRK.B", "last": 500.0, "volume": 99},
    {"symbol": "FX", "bid": 1.15},
]


def ticks_of_days(days: int) -> list[dict]:
    """Return the same ticks for each day; a session begins with each day."""
    return [
        {**tick, "ts": START_US + day * DAY_US + 1_000 * index}
        for day in range(days)
        for index, tick in enumerate(TICKS)
    ]


@contextlib.asynccontextmanager
async def run_command(*arguments: object, cwd: Path):
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tickwire", *map(str, arguments), cwd=cwd,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, env={**os.environ, "COLUMNS": "200"},
    )  # fmt: skip
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def read_quotes(url: str, count: int) -> list[dict]:
    async with open_stream(url, {"delivery": "all", "since": "earliest"}) as stream:
        return [event.data for event in await stream.next_events(count)]


async def read_candles(url: str, symbol: str) -> list[dict]:
    """Return the candles of a minute, without the ids of events."""
    async with httpx2.AsyncClient(base_url=url, verify=False) as client:
        answer = await client.get(f"/v1/candles/{symbol}", params={"interval": "1m"})
    return answer.json()


@pytest.mark.parametrize("name", ["ticks.csv", "ticks.csv.gz", "ticks.parquet"])
async def test_a_replay_of_a_recording_has_the_same_quotes(tmp_path: Path, name: str) -> None:
    """The recording covers the end of one session and the start of the next."""
    if name.endswith("parquet"):
        pytest.importorskip("duckdb")
    ticks = ticks_of_days(2)
    async with run_server() as server, httpx2.AsyncClient(base_url=server.url, verify=False) as client:
        assert (await client.post("/v1/quotes", json=ticks)).is_success
        arguments = (name, "--url", server.url, "--since", "earliest", "--count", len(ticks))
        async with run_command("record", *arguments, cwd=tmp_path) as process:
            output = (await process.communicate())[0].decode()
        original = await read_quotes(server.url, len(ticks))
    assert output == f"{len(ticks)} quotes in {name}\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == [name]
    async with run_server(feed=f"replay:{tmp_path / name}", speed=0) as server:
        replayed = await read_quotes(server.url, len(ticks))
        candles = server.runtime.candle_recorder.candles
        assert candles.open_candles([candles.find_row("BRK.B")], 1)["close"].tolist() == [500.0]
    assert replayed == original


async def test_a_replay_of_a_recording_has_the_same_candles(tmp_path: Path) -> None:
    """The recording contains the quantity of every trade, also of the first trade of each symbol and session."""
    ticks = [
        {"symbol": symbol, "last": last, "size": size, "ts": START_US + day * DAY_US + second * 1_000_000}
        for day in range(2)
        for second, symbol, last, size in [
            (0, "A", 5, 3),
            (1, "A", 5, 2),
            (1, "B", 7, 1),
            (70, "A", 4, 9),
            (90, "B", 8, 4),
        ]
    ]
    async with run_server() as server, httpx2.AsyncClient(base_url=server.url, verify=False) as client:
        assert (await client.post("/v1/quotes", json=ticks)).is_success
        arguments = ("a.csv", "--url", server.url, "--since", "earliest", "--count", len(ticks))
        async with run_command("record", *arguments, cwd=tmp_path) as process:
            await process.communicate()
        original = [await read_candles(server.url, symbol) for symbol in "AB"]
    async with run_server(feed=f"replay:{tmp_path / 'a.csv'}", speed=0) as server:
        await read_quotes(server.url, len(ticks))
        replayed = [await read_candles(server.url, symbol) for symbol in "AB"]
    assert replayed == original
    assert sum(candle["volume"] for candle in original[0]) == 28


async def read_corrections(url: str, count: int) -> list[dict]:
    async with open_stream(url, {"events": "correction", "delivery": "all", "since": "earliest"}) as stream:
        return [event.data for event in await stream.next_events(count, name="correction")]


@pytest.mark.parametrize("name", ["a.csv", "a.parquet"])
async def test_a_replay_of_a_recording_has_the_same_corrections(tmp_path: Path, name: str) -> None:
    """Corrections of the newest and of an earlier trade, cancels, and trades of another symbol between them."""
    if name.endswith("parquet"):
        pytest.importorskip("duckdb")

    def tick(symbol: str, second: int, last: float, **fields: float) -> dict:
        return {"symbol": symbol, "ts": START_US + second * 1_000_000, "last": last, **fields}

    trades = [
        tick(symbol, second, last, size=size, bid=9.5)
        for second, symbol, last, size in [
            (0, "A", 10.0, 3),
            (1, "B", 7.0, 1),
            (2, "A", 13.0, 2.5),
            (70, "A", 12.0, 9),
            (71, "A", 8.0, 4),
            (72, "B", 8.0, 4),
        ]
    ]
    corrections = [
        tick("A", 2, 13.0, size=2.5, corrected_last=11.0, corrected_size=2),
        tick("A", 71, 8.0, size=4, corrected_last=9.0, corrected_size=4),
        tick("B", 72, 8.0, size=4),
        tick("A", 70, 12.0, size=9),
    ]
    count = len(trades) + 6 + 2
    async with run_server() as server, httpx2.AsyncClient(base_url=server.url, verify=False) as client:
        assert (await client.post("/v1/quotes", json=trades)).is_success
        assert (await client.post("/v1/corrections", json=corrections)).is_success
        later = [{"symbol": "B", "bid": 7.5, "ts": START_US + 73_000_000}, tick("A", 74, 9.5, size=1)]
        assert (await client.post("/v1/quotes", json=later)).is_success
        arguments = (name, "--url", server.url, "--since", "earliest", "--count", count)
        async with run_command("record", *arguments, cwd=tmp_path) as process:
            await process.communicate()
        original = await read_quotes(server.url, count), [await read_candles(server.url, symbol) for symbol in "AB"]
        original_corrections = await read_corrections(server.url, 4)
    async with run_server(feed=f"replay:{tmp_path / name}", speed=0) as server:
        replayed = await read_quotes(server.url, count), [await read_candles(server.url, symbol) for symbol in "AB"]
        assert await read_corrections(server.url, 4) == original_corrections
    assert replayed == original
    highs = [quote["high"] for quote in original[0] if quote["symbol"] == "A"]
    assert (max(highs), highs[-1]) == (13.0, 11.0)


async def test_trades_at_an_unchanged_price_are_recorded(tmp_path: Path) -> None:
    """The feed reports neither quantities nor totals. Each trade is in another minute, so it has its own candle."""
    ticks = [{"symbol": "A", "last": 5.0, "ts": START_US + minute * 60_000_000} for minute in range(5)]
    ticks.append({"symbol": "A", "bid": 4.9, "ts": START_US + 300_000_000})
    async with run_server() as server, httpx2.AsyncClient(base_url=server.url, verify=False) as client:
        assert (await client.post("/v1/quotes", json=ticks)).is_success
        async with run_command(
            "record", "a.csv", "--url", server.url, "--since", "earliest", "--count", 6, cwd=tmp_path
        ) as process:
            await process.communicate()
        original = await read_candles(server.url, "A")
    async with run_server(feed=f"replay:{tmp_path / 'a.csv'}", speed=0) as server:
        await read_quotes(server.url, 6)
        assert await read_candles(server.url, "A") == original
    assert len(original) == 5


async def test_a_recorder_reports_that_the_market_went_back(tmp_path: Path) -> None:
    """The recording contains the rows of both runs of the market, without a row for the reset between the runs."""
    source = tmp_path / "A.csv"
    source.write_text("ts,price\n" + "".join(f"2026-01-02T15:00:0{row}Z,{row + 1}\n" for row in range(5)))
    async with run_server(feed=f"replay:{source}", speed=0, journal="memory") as server:
        async with httpx2.AsyncClient(base_url=server.url) as client:
            await wait_until(lambda: server.runtime.status.state == "halted")
            (await client.post("/v1/simulator", json={"command": "START"})).raise_for_status()
            await wait_until(lambda: server.runtime.journal.head >= 10)
            await wait_until(lambda: server.runtime.status.state == "halted")
        command = ("record", "out.csv", "--url", server.url, "--since", "earliest", "--count", 10)
        async with run_command(*command, cwd=tmp_path) as process:
            assert process.stdout is not None
            output = (await process.stdout.read()).decode()
    assert "the market went back to an earlier time" in output
    rows = list(csv.DictReader((tmp_path / "out.csv").read_text().splitlines()))
    assert [float(row["last"]) for row in rows] == [1, 2, 3, 4, 5] * 2


async def test_a_killed_recorder_continues(tmp_path: Path) -> None:
    """After kill -9, an incomplete last line and a restart of the server, every quote is recorded once."""
    options = {"journal": f"sqlite:{tmp_path / 'j'}"}
    ticks = ticks_of_days(1)
    async with run_server(**options) as server, httpx2.AsyncClient(base_url=server.url, verify=False) as client:
        await client.post("/v1/quotes", json=ticks[:3])
        async with run_command("record", "a.csv", "--url", server.url, "--since", "earliest", cwd=tmp_path) as process:
            part = tmp_path / "a.csv.part"
            await wait_until(lambda: part.exists() and part.read_text().count("\n") >= 4)
            process.kill()
            await process.wait()
        with part.open("a") as file:
            file.write("incomplete-9,17670000")
        await client.post("/v1/quotes", json=ticks[3:])
    async with (
        run_server(**options) as server,
        run_command("record", "a.csv", "--url", server.url, cwd=tmp_path) as process,
    ):
        await wait_until(lambda: part.read_text().count("\n") >= 1 + len(ticks))
        process.send_signal(signal.SIGINT)
        output = (await process.communicate())[0].decode()
    assert f"resuming after 3 quotes in a.csv.part\n{len(ticks)} quotes in a.csv\n" in output
    with (tmp_path / "a.csv").open() as file:
        rows = list(csv.DictReader(file))
    ids = [int(row["id"].rpartition("-")[2]) for row in rows]
    assert ids == sorted(set(ids))
    assert [int(row["ts_us"]) for row in rows] == [tick["ts"] for tick in ticks]
    assert [row["last"] for row in rows] == ["501.25", "", "", "0.30000000000000004", "", "500.0", ""]


async def test_the_end_of_a_replay_completes_the_recording(tmp_path: Path) -> None:
    """A recording without quotes leaves no file."""
    path = tmp_path / "A.csv"
    path.write_text("ts_ns,price\n" + "".join(f"{(START_US + number) * 1000},{number}\n" for number in range(2_000)))
    async with run_server(feed=f"replay:{path}", speed=0) as server:
        arguments = ("b.csv.gz", "--url", server.url, "--since", "earliest")
        async with run_command("record", *arguments, cwd=tmp_path) as process:
            assert (await process.communicate())[0] == b"2,000 quotes in b.csv.gz\n"
        async with run_command(
            "record", "c.csv", "NONE", "--url", server.url, "--seconds", "2", cwd=tmp_path
        ) as process:
            assert (await process.communicate())[0] == b"no quote arrived: c.csv was not created\n"
    with gzip.open(tmp_path / "b.csv.gz", "rt") as file:
        assert len(file.readlines()) == 2_001
    assert sorted(each.name for each in tmp_path.iterdir()) == ["A.csv", "b.csv.gz"]


@pytest.mark.parametrize("command", ["record", "watch"])
async def test_a_command_that_never_reached_the_server_fails(tmp_path: Path, command: str) -> None:
    """Ctrl-C ends the command with exit code 1, and a part of an earlier recording stays."""
    part = tmp_path / "a.csv.part"
    arguments = ("a.csv",) if command == "record" else ()
    async with run_server() as server, httpx2.AsyncClient(base_url=server.url) as client:
        if command == "record":
            assert (await client.post("/v1/quotes", json=TICKS)).is_success
            async with run_command(
                "record", "a.csv", "--url", server.url, "--since", "earliest", cwd=tmp_path
            ) as process:
                await wait_until(lambda: part.exists() and part.read_text().count("\n") > len(TICKS))
                process.kill()
    rows = part.read_text() if part.exists() else ""
    async with run_command(command, *arguments, "--url", server.url, cwd=tmp_path) as process:
        assert process.stdout is not None
        output = b""
        while b"retry in" not in output:
            output += await process.stdout.readline()
        process.send_signal(signal.SIGINT)
        output += await process.stdout.read()
        assert await process.wait() == 1
    assert f"could not connect to {server.url}" in output.decode()
    assert not (tmp_path / "a.csv").exists()
    assert (part.read_text() if part.exists() else "") == rows
