"""Print each line of an event stream as soon as aiohttp returns the line."""

import asyncio
import sys

import aiohttp


async def main() -> None:
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None)) as session,
        session.get(sys.argv[1]) as response,
    ):
        if response.status != 200:
            print(f"status: {response.status}", flush=True)
            return
        async for line in response.content:
            print(line.decode(), end="", flush=True)


asyncio.run(main())
