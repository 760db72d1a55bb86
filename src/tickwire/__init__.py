"""Tickwire: market data in, Server-Sent Events out.

The public names; each is imported when it is first used, so that a client does not wait for the server's imports.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tickwire.app import App, create_app
    from tickwire.client.publisher import Publisher
    from tickwire.client.stream import Event, Stream, connect
    from tickwire.core.quote import Quote
    from tickwire.core.tick import Tick
    from tickwire.errors import ClientError, FilterError, InputError, RowError, TickwireError
    from tickwire.settings import Settings

__all__ = [
    "App",
    "ClientError",
    "Event",
    "FilterError",
    "InputError",
    "Publisher",
    "Quote",
    "RowError",
    "Settings",
    "Stream",
    "Tick",
    "TickwireError",
    "connect",
    "create_app",
]

_HOMES = {
    "tickwire.app": ("App", "create_app"),
    "tickwire.client.publisher": ("Publisher",),
    "tickwire.client.stream": ("Event", "Stream", "connect"),
    "tickwire.core.quote": ("Quote",),
    "tickwire.core.tick": ("Tick",),
    "tickwire.errors": ("ClientError", "FilterError", "InputError", "RowError", "TickwireError"),
    "tickwire.settings": ("Settings",),
}


def __dir__() -> list[str]:
    return [*globals(), *__all__]


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(home), name)
    raise AttributeError(f"module 'tickwire' has no attribute {name!r}")
