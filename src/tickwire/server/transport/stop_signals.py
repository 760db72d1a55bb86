"""Detect the stop of an ASGI server that is not Tickwire's own, such as plain uvicorn.

An ASGI server reports its stop to the application only after all connections have closed. An endless stream never
closes, so the application must detect the signal that stops the server.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopSignals:
    """Calls `on_stop` in the event loop when a signal stops the server, and then calls the server's signal handler.

    `install` must run after the server has installed its signal handlers.
    """

    def __init__(self, on_stop: Callable[[], None]) -> None:
        self._on_stop = on_stop
        self._is_installed = False
        self._server_handlers: dict[int, Callable[[int, FrameType | None], Any]] = {}

    def install(self) -> None:
        """Replace the signal handlers of the server. A second call does nothing.

        Leave the handlers of Python and of the operating system unchanged, because they end the process at once. Do
        nothing outside the main thread, because the signal handlers of Python run only there.
        """
        if self._is_installed:
            return
        self._is_installed = True
        if threading.current_thread() is not threading.main_thread():
            return
        self._loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            handler = signal.getsignal(number)
            if callable(handler) and handler is not signal.default_int_handler:
                self._server_handlers[number] = handler
                signal.signal(number, self._handle)

    def uninstall(self) -> None:
        """Restore the handlers of the server, unless the server has already replaced them."""
        for number, handler in self._server_handlers.items():
            if signal.getsignal(number) == self._handle:
                signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        # Let the event loop call the function, because the signal may interrupt any code.
        self._loop.call_soon_threadsafe(self._on_stop)
        self._server_handlers[number](number, frame)
