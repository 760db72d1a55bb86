"""Tickwire: market data in, Server-Sent Events out.

`__all__` lists the public names. The package imports a name on first use, so that a client program does not import the
server.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tickwire.app import App, create_app
    from tickwire.client.async_client import AsyncClient
    from tickwire.client.client import Client
    from tickwire.client.events import Event, Gap, Message
    from tickwire.client.publisher import Publisher
    from tickwire.client.stream import Stream, connect
    from tickwire.core.candle import Candle
    from tickwire.core.published_tick import PublishedTick
    from tickwire.core.quote import Quote
    from tickwire.core.tick import Tick
    from tickwire.errors import (
        BatchRowError,
        ClientError,
        FilterError,
        InputError,
        RowError,
        StreamEnded,
        TickwireError,
    )
    from tickwire.settings import Settings

__all__ = [
    "App",
    "AsyncClient",
    "BatchRowError",
    "Candle",
    "Client",
    "ClientError",
    "Event",
    "FilterError",
    "Gap",
    "InputError",
    "Message",
    "PublishedTick",
    "Publisher",
    "Quote",
    "RowError",
    "Settings",
    "Stream",
    "StreamEnded",
    "Tick",
    "TickwireError",
    "connect",
    "create_app",
]

_EXPORTS_BY_MODULE = {
    "tickwire.app": ("App", "create_app"),
    "tickwire.client.async_client": ("AsyncClient",),
    "tickwire.client.client": ("Client",),
    "tickwire.client.events": ("Event", "Gap", "Message"),
    "tickwire.client.publisher": ("Publisher",),
    "tickwire.client.stream": ("Stream", "connect"),
    "tickwire.core.candle": ("Candle",),
    "tickwire.core.published_tick": ("PublishedTick",),
    "tickwire.core.quote": ("Quote",),
    "tickwire.core.tick": ("Tick",),
    "tickwire.errors": (
        "BatchRowError",
        "ClientError",
        "FilterError",
        "InputError",
        "RowError",
        "StreamEnded",
        "TickwireError",
    ),
    "tickwire.settings": ("Settings",),
}


def __dir__() -> list[str]:
    return [*globals(), *__all__]


def __getattr__(name: str) -> Any:
    for module, names in _EXPORTS_BY_MODULE.items():
        if name in names:
            return getattr(import_module(module), name)
    raise AttributeError(f"module 'tickwire' has no attribute {name!r}")
