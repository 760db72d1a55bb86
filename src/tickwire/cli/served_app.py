"""Run the application together with the HTTP server that serves it."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator
from typing import NamedTuple

from tickwire.app import App
from tickwire.cli.capacity import Capacity, plan_capacity
from tickwire.runtime.runtime import Runtime
from tickwire.server.transport.certificate import Certificate
from tickwire.server.transport.serving import create_server
from tickwire.server.transport.stream_server import StreamServer
from tickwire.settings import Settings


class ServedApp(NamedTuple):
    """An application, the HTTP server that serves it, and the number of readers and connections that it accepts."""

    app: App
    server: StreamServer
    capacity: Capacity


def configured_readers(settings: Settings) -> int:
    """Return the configured number of readers. A process that only runs the feed accepts none."""
    return 0 if settings.role == "feed" else settings.max_readers


def create_served_app(settings: Settings, certificate: Certificate | None) -> ServedApp:
    """Create the application and its server. Lower `max_readers` if the limit of open files is too low for it.

    Raise SettingsError if the limit of open files leaves no room for readers.
    """
    capacity = plan_capacity(configured_readers(settings))
    app = App(settings.model_copy(update={"max_readers": capacity.max_readers}))
    server = create_server(app, capacity.max_connections, certificate=certificate, drain_delay_s=settings.drain_delay)
    # Turn uvicorn's request log off, because Tickwire logs each request by itself.
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    return ServedApp(app, server, capacity)


@contextlib.asynccontextmanager
async def running_app(app: App, server: StreamServer) -> AsyncIterator[Runtime]:
    """Run the application until the `async with` block ends.

    If an essential task of the application dies, stop the server. After the block, raise the error of this task.
    """
    async with app.running(ends_streams_on_signal=False) as runtime:
        server.server_state.descriptor_user = runtime.hub.sender
        failure = runtime.supervisor.failure
        failure.add_done_callback(lambda _: server.begin_stop(waits=False))
        yield runtime
    if failure.done():
        raise failure.result()
