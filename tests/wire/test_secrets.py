"""Errors of the server's files and URLs: clients without the scope `admin` learn no path and no URL."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import httpx2
import pytest

from tickwire.core.codec import encode_json
from tickwire.errors import JournalError, JournalUnavailable
from tickwire.ops.log_format import LineFormatter
from tickwire.recordings.table_reader import CHUNK_ROWS
from tickwire.simulation.universe import built_in_model
from tickwire.testing.server import RunningServer, run_server
from tickwire.testing.tokens import TOKEN_AUTH, bearer_header, sign_token
from tickwire.testing.wire import open_stream


class Fault(NamedTuple):
    """A server with a fault, and a part of the error text that only admins may see."""

    server: RunningServer
    detail: str


@contextlib.asynccontextmanager
async def missing_model_file(folder: Path) -> AsyncIterator[Fault]:
    path = folder / "model.json"
    path.write_bytes(encode_json(built_in_model()))
    async with run_server(**TOKEN_AUTH, feed="simulator", model=str(path), model_poll=0.02) as server:
        path.unlink()
        yield Fault(server, str(path))


@contextlib.asynccontextmanager
async def invalid_model_file(folder: Path) -> AsyncIterator[Fault]:
    path = folder / "model.json"
    path.write_bytes(encode_json(built_in_model()))
    async with run_server(**TOKEN_AUTH, feed="simulator", model=str(path), model_poll=0.02) as server:
        path.write_text(f'{{"{folder}": 1}}')
        yield Fault(server, str(folder))


@contextlib.asynccontextmanager
async def failed_journal(folder: Path) -> AsyncIterator[Fault]:
    path = folder / "ticks.journal"
    async with run_server(**TOKEN_AUTH, journal=f"sqlite:{path}") as server:

        async def fail(*_: object) -> None:
            raise JournalUnavailable(f"the journal {path} cannot be written")

        server.runtime.journal.append = fail  # type: ignore[method-assign]
        yield Fault(server, str(path))


@contextlib.asynccontextmanager
async def failed_feed(folder: Path) -> AsyncIterator[Fault]:
    path = folder / "prices.csv"
    # At the start, the server checks only the first rows. It finds the bad row later.
    rows = [f"170000{number:06}0000,A,1" for number in range(CHUNK_ROWS)]
    path.write_text("\n".join(["ts,symbol,last", *rows, "1700009999990000,A,bad", ""]))
    async with run_server(**TOKEN_AUTH, feed=f"replay:{path}", data=str(folder), speed=0) as server:
        yield Fault(server, str(path))


@contextlib.asynccontextmanager
async def failed_candle_archive(folder: Path) -> AsyncIterator[Fault]:
    async with run_server(**TOKEN_AUTH, journal=f"sqlite:{folder / 'ticks.journal'}") as server:

        async def fail(*_: object, **__: object) -> None:
            raise JournalError(f"cannot read or write the candle archive in {folder}")

        server.runtime.candle_recorder.archive.read = fail  # type: ignore[method-assign]
        yield Fault(server, str(folder))


@contextlib.asynccontextmanager
async def unreachable_model_url(folder: Path) -> AsyncIterator[Fault]:
    """A web server with the model stops after it has answered once."""
    del folder
    body = encode_json(built_in_model())

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        writer.close()

    web_server = await asyncio.start_server(answer, "127.0.0.1")
    port = web_server.sockets[0].getsockname()[1]
    url = f"http://ann:PASS@127.0.0.1:{port}/folder/model.json?sig=PASS"
    async with run_server(**TOKEN_AUTH, feed="simulator", model=url, model_poll=0.02) as server:
        web_server.close()
        yield Fault(server, f"127.0.0.1:{port}/folder/model.json")


FAULTS = [
    missing_model_file,
    invalid_model_file,
    unreachable_model_url,
    failed_journal,
    failed_feed,
    failed_candle_archive,
]
READS = (
    "/v1/simulator",
    "/readyz",
    "/healthz",
    "/v1/quotes",
    "/v1/candles/A",
    "/v1/operations",
    "/v1/cluster",
    "/v1/stream?since=0-1",
)


async def read_everything(client: httpx2.AsyncClient, token: str) -> str:
    """Return all answers to a token, as one text."""
    texts = [(await client.get("/metrics", headers=bearer_header(token))).text]
    for path in READS:
        async with client.stream("GET", path, headers=bearer_header(token)) as answer:
            texts.append(await anext(answer.aiter_text(), ""))
    texts.append((await client.post("/v1/quotes", json=[{"symbol": "A"}], headers=bearer_header(token))).text)
    return "\n".join(texts)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
async def test_only_admins_learn_paths_and_addresses_of_the_server(fault, tmp_path: Path, caplog) -> None:
    caplog.set_level(logging.INFO)
    folder = tmp_path / "private"
    folder.mkdir()
    admin, other = sign_token("admin metrics publish"), sign_token("metrics publish")
    async with (
        fault(folder) as (server, detail),
        httpx2.AsyncClient(base_url=server.url) as client,
        open_stream(server.url, {"events": "status"}, headers=bearer_header(other)) as stream,
    ):
        admin_text = ""
        while detail not in admin_text:
            admin_text = await read_everything(client, admin)
        other_text = await read_everything(client, other)
        state = (await client.get("/v1/simulator", headers=bearer_header(other))).json()
        if fault in FAULTS[:3]:
            while (status := (await stream.next_events(1, name="status"))[0].data)["notice"] is None:
                pass
            other_text += json.dumps(status)
            assert status["notice"] == state["notice"]
    for secret in (detail, str(tmp_path), "PASS", "://"):
        assert secret not in other_text
    assert "PASS" not in admin_text
    log = "\n".join(map(LineFormatter().format, caplog.records))
    assert "PASS" not in log
    assert state["notice_detail"] is None
