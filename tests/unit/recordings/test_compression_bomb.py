"""Small files that decompress to many gigabytes: the server reads only a bounded part of them."""

from __future__ import annotations

import asyncio
import gzip
import tracemalloc
import zlib
from pathlib import Path

import pytest

from tickwire.errors import InputError
from tickwire.feeds import model_source
from tickwire.feeds.model_source import open_model_source
from tickwire.recordings import table_reader
from tickwire.recordings.table_reader import open_table

MEGABYTES = 40
MAX_MEMORY_BYTES = 12 * 2**20


def write_bomb(path: Path, beginning: bytes) -> None:
    with gzip.open(path, "wb", 1) as file:
        file.write(beginning)
        for _ in range(MEGABYTES):
            file.write(b"1" * 2**20)


@pytest.mark.parametrize(
    "beginning", [b"", b"symbol,ts,last\n", b"symbol,ts,last\nA,2026-01-05T10:00:00Z,1\n", b'{"symbol":"']
)
def test_a_recording_with_an_endless_line_is_rejected(tmp_path, beginning) -> None:
    write_bomb(tmp_path / "bomb.csv.gz", beginning)
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match=f"more than {table_reader.MAX_LINE_CHARACTERS:,} characters"):
            for _ in open_table(tmp_path / "bomb.csv.gz").chunks:
                pass
        assert tracemalloc.get_traced_memory()[1] < MAX_MEMORY_BYTES
    finally:
        tracemalloc.stop()


async def test_a_compressed_model_is_read_up_to_its_maximum_size(monkeypatch) -> None:
    monkeypatch.setattr(model_source, "MAX_MODEL_BYTES", 2**20)
    compressor = zlib.compressobj(1, wbits=31)
    body = b"".join(compressor.compress(b"1" * 2**20) for _ in range(MEGABYTES)) + compressor.flush()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(InputError, match="larger than"):
            await open_model_source(f"http://127.0.0.1:{port}/model.json").fetch()


async def test_a_model_file_is_read_up_to_its_maximum_size(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(model_source, "MAX_MODEL_BYTES", 10)
    (tmp_path / "model.json").write_bytes(b"1" * 11)
    with pytest.raises(InputError, match="larger than"):
        await open_model_source(str(tmp_path / "model.json")).fetch()
