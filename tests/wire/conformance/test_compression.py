"""Conformance of compressed streams. A reader can decode its stream from the first byte, whenever the reader joins."""

from __future__ import annotations

import asyncio

import pytest

# The tests of a module share one server.
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("gzip", "gzip"),
        ("zstd", "zstd"),
        ("gzip, deflate, br, zstd", "zstd"),
        ("gzip;q=1, zstd;q=0", "gzip"),
        ("br", None),
        ("gzip;q=0", None),
        ("", None),
    ],
)
async def test_early_and_late_readers_decode_from_the_first_byte(wire, accepted: str, coding: str | None) -> None:
    """All readers of a channel receive the same events in every coding, in large batches and in small batches."""
    names = [f"S{number}" for number in range(60)]
    params = {"headers": {"Accept-Encoding": accepted}, "delivery": "all", "snapshot": "false"}
    async with wire.stream("*", **params) as early, wire.stream("*", delivery="all", snapshot="false") as plain:
        if coding and "content-encoding" not in early.headers:
            pytest.skip("the server does not compress (--compress off)")
        assert early.headers.get("content-encoding") == coding
        await asyncio.gather(wire.read_welcome(early), wire.read_welcome(plain))
        await wire.publish(**dict.fromkeys(names, 1.0))
        expected = await plain.next_events(60)
        assert await early.next_events(60) == expected
        async with wire.stream("*", **params) as late:
            await wire.read_welcome(late)
            for prices in ({"A": 1.0}, dict.fromkeys(names, 2.0), {"B": 3.0}):
                await wire.publish(**prices)
            expected = await plain.next_events(62)
            assert await early.next_events(62) == expected
            assert await late.next_events(62) == expected
            if coding:
                assert early.received_bytes < plain.received_bytes
