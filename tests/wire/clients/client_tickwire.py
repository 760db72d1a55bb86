"""Print each event that a Python client of Tickwire reads, as one line of JSON: client_tickwire.py CLASS URL.

CLASS is AsyncClient or Client.
"""

import asyncio
import json
import sys
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import tickwire


def show(event: tickwire.Event) -> None:
    name = "message" if event.name == "quote" else event.name
    print(json.dumps({"name": name, "id": event.id, "data": event.data}), flush=True)


async def read(server: str, token: str | None, options: dict[str, Any]) -> None:
    async with tickwire.AsyncClient(server, token=token) as client:
        async for event in client.quotes(**options).events():
            show(event)


def read_blocking(server: str, token: str | None, options: dict[str, Any]) -> None:
    with tickwire.Client(server, token=token) as client, client.quotes(**options) as quotes:
        for event in quotes.events():
            show(event)


class_name, url = sys.argv[1:]
parts = urlsplit(url)
parameters: dict[str, Any] = dict(parse_qsl(parts.query))
arguments = f"{parts.scheme}://{parts.netloc}", parameters.pop("access_token", None), parameters
if class_name == "AsyncClient":
    asyncio.run(read(*arguments))
else:
    read_blocking(*arguments)
