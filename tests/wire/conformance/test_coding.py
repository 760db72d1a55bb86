"""Compressed streams: decodable from their first byte, whenever a reader joined."""

from __future__ import annotations

import asyncio

import pytest

pytestmark = pytest.mark.asyncio(loop_scope="module")  # a server for all of them


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
    """All readers of a channel get the same events, however they are packed; big ones and small ones."""
    names = [f"S{number}" for number in range(60)]
    params = {"headers": {"Accept-Encoding": accepted}, "delivery": "all", "snapshot": "false"}
    async with wire.stream("*", **params) as early, wire.stream("*", delivery="all", snapshot="false") as plain:
        if coding and "content-encoding" not in early.headers:
            pytest.skip("the server compresses nothing (--compress off)")
        assert early.headers.get("content-encoding") == coding
        await asyncio.gather(wire.welcome(early), wire.welcome(plain))
        await wire.publish(**dict.fromkeys(names, 1.0))
        expected = await plain.events(60)
        assert await early.events(60) == expected
        async with wire.stream("*", **params) as late:
            await wire.welcome(late)
            for prices in ({"A": 1.0}, dict.fromkeys(names, 2.0), {"B": 3.0}):
                await wire.publish(**prices)
            expected = await plain.events(62)
            assert await early.events(62) == expected
            assert await late.events(62) == expected
            if coding:
                assert early.taken < plain.taken
