"""`tickwire record`: what was recorded and is replayed gives the same quotes; killed, it goes on."""

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

from tickwire.core.quote import Quote
from tickwire.errors import InputError
from tickwire.feeds.recorder import Recorder
from tickwire.feeds.recording import Recording
from tickwire.testing.server import run_server
from tickwire.testing.wire import open_stream

T0 = 1_767_366_000_000_000  # microseconds
TICKS = [
    {"symbol": "BRK.B", "last": 501.25, "size": 3},
    {"symbol": "FX", "bid": 1.1, "ask": 1.2, "bid_size": 1000},
    {"symbol": "BRK.B", "bid": 501.2, "bid_size": 7, "ask": 501.3},
    {"symbol": "BRK.B", "last": 0.1 + 0.2, "size": 0.125},
    {"symbol": "FX", "bid": None, "ask": None},
    {"symbol": "BRK.B", "last": 500.0, "volume": 99},
    {"symbol": "FX", "bid": 1.15},
]


def ticks(days: int = 2) -> list[dict]:
    """The same again on the next day, when a session begins."""
    return [
        {**tick, "ts": T0 + day * 86_400_000_000 + 1_000 * place}
        for day in range(days)
        for place, tick in enumerate(TICKS)
    ]


@contextlib.asynccontextmanager
async def recording(*arguments: object, cwd: Path):
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tickwire", "record", *map(str, arguments), cwd=cwd,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, env={**os.environ, "COLUMNS": "200"},
    )  # fmt: skip
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def quotes(url: str, count: int) -> list[dict]:
    async with open_stream(url, {"delivery": "all", "since": "earliest"}) as stream:
        return [event.data for event in await stream.events(count)]


@pytest.mark.parametrize("name", ["ticks.csv", "ticks.csv.gz", "ticks.parquet"])
async def test_record_and_replay_are_the_same(tmp_path: Path, name: str) -> None:
    """Field by field, over the border of a session; and recorded again, line by line."""
    if name.endswith("parquet"):
        pytest.importorskip("duckdb")
    sent = ticks()
    async with run_server() as server, httpx2.AsyncClient(base_url=server.url, verify=False) as client:
        assert (await client.post("/v1/quotes", json=sent)).is_success
        arguments = (name, "--url", server.url, "--since", "earliest", "--count", len(sent))
        async with recording(*arguments, cwd=tmp_path) as process:
            said = (await process.communicate())[0].decode()
        original = await quotes(server.url, len(sent))
    assert said == f"{len(sent)} quotes in {name}\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == [name]
    async with run_server(feed=f"replay:{tmp_path / name}", speed=0) as server:
        replayed = await quotes(server.url, len(sent))
        candles = server.runtime.chronicle.candles
        assert candles.forming([candles.row("BRK.B")], 1)["close"].tolist() == [500.0]
    assert replayed == original


async def test_a_killed_recorder_goes_on(tmp_path: Path) -> None:
    """kill -9 and a torn last line: called again, it takes up every quote once, over a restart of the server too."""
    options = {"journal": f"sqlite:{tmp_path / 'j'}"}
    sent = ticks(1)
    async with run_server(**options) as server, httpx2.AsyncClient(base_url=server.url, verify=False) as client:
        await client.post("/v1/quotes", json=sent[:3])
        async with recording("a.csv", "--url", server.url, "--since", "earliest", cwd=tmp_path) as process:
            part = tmp_path / "a.csv.part"
            while not part.exists() or part.read_text().count("\n") < 4:
                await asyncio.sleep(0)
            process.kill()
            await process.wait()
        with part.open("a") as file:
            file.write("torn-9,17670000")
        await client.post("/v1/quotes", json=sent[3:])
    async with run_server(**options) as server, recording("a.csv", "--url", server.url, cwd=tmp_path) as process:
        while (tmp_path / "a.csv.part").read_text().count("\n") < 1 + len(sent):
            await asyncio.sleep(0)
        process.send_signal(signal.SIGINT)
        said = (await process.communicate())[0].decode()
    assert f"going on after the 3 quotes in a.csv.part\n{len(sent)} quotes in a.csv\n" in said
    with (tmp_path / "a.csv").open() as file:
        rows = list(csv.DictReader(file))
    ids = [int(row["id"].rpartition("-")[2]) for row in rows]
    assert ids == sorted(set(ids))
    assert [int(row["ts_us"]) for row in rows] == [tick["ts"] for tick in sent]
    assert [row["last"] for row in rows] == ["501.25", "", "", "0.30000000000000004", "", "500.0", ""]


async def test_the_end_of_a_feed_ends_the_recording(tmp_path: Path) -> None:
    """A replay that has come to its end leaves a whole file without anybody's doing; nothing leaves none."""
    path = tmp_path / "A.csv"
    path.write_text("ts_ns,price\n" + "".join(f"{(T0 + number) * 1000},{number}\n" for number in range(2_000)))
    async with run_server(feed=f"replay:{path}", speed=0) as server:
        arguments = ("b.csv.gz", "--url", server.url, "--since", "earliest")
        async with recording(*arguments, cwd=tmp_path) as process:
            assert (await process.communicate())[0] == b"2,000 quotes in b.csv.gz\n"
        async with recording("c.csv", "NONE", "--url", server.url, "--seconds", "0.2", cwd=tmp_path) as process:
            assert (await process.communicate())[0] == b"no quote came: there is no c.csv\n"
    with gzip.open(tmp_path / "b.csv.gz", "rt") as file:
        assert len(file.readlines()) == 2_001
    assert sorted(each.name for each in tmp_path.iterdir()) == ["A.csv", "b.csv.gz"]


async def test_what_cannot_be_written_is_said_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unknown endings, files that are there, a part that is something else or another's, a missing library."""
    taken = tmp_path / "a.csv"
    taken.write_text("")
    with pytest.raises(InputError, match="is there already"):
        Recorder(taken)
    with pytest.raises(InputError, match=r"ends in \.csv, \.csv\.gz or \.parquet"):
        Recorder(tmp_path / "a.xlsx")
    with pytest.raises(InputError, match="cannot be written: No such file"):
        Recorder(tmp_path / "none" / "a.csv")
    (tmp_path / "b.csv.part").write_text("something\nelse\n")
    with pytest.raises(InputError, match="is not a recording under way"):
        Recorder(tmp_path / "b.csv")
    first = Recorder(tmp_path / "c.csv")
    with pytest.raises(InputError, match="written by another recorder"):
        Recorder(tmp_path / "c.csv")
    first.close()
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(InputError, match="writing Parquet needs DuckDB"):
        Recorder(tmp_path / "d.parquet")


def test_a_part_can_be_read_as_it_is(tmp_path: Path) -> None:
    """What a recorder has written so far is a recording, and taking it up again appends to it."""
    recorder = Recorder(tmp_path / "a.csv")
    recorder.take("e-1", Quote("A", last=1.5, volume=0.0, ts=T0))
    with Recording(recorder.part) as read:
        (chunk,) = read.chunks()
    assert chunk["last"].tolist() == [1.5]
    recorder.close()
    again = Recorder(tmp_path / "a.csv")
    again.take("e-2", Quote("A", last=1.5, volume=0.0, bid=1.0, ts=T0))
    again.finish()
    assert (tmp_path / "a.csv").read_text().splitlines()[1:] == [
        f"e-1,{T0},A,1.5,inf,inf,inf,inf,0.0",
        f"e-2,{T0},A,,1.0,inf,inf,inf,0.0",
    ]
