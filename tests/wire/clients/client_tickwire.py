"""Print each event of a stream that the Python client of Tickwire reads, as one line of JSON."""

import asyncio
import json
import sys
from urllib.parse import parse_qsl, urlsplit

from tickwire.client.backoff import Backoff
from tickwire.client.stream import Stream


async def main() -> None:
    url = urlsplit(sys.argv[1])
    # Short waits, so that the tests are fast.
    async with Stream(f"{url.scheme}://{url.netloc}", dict(parse_qsl(url.query)), backoff=Backoff(0.1, 1.0)) as stream:
        async for event in stream.events():
            name = "message" if event.name == "quote" else event.name
            print(json.dumps({"name": name, "id": event.id, "data": event.data}), flush=True)


asyncio.run(main())
