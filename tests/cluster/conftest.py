"""NATS servers for the tests of this folder.

If nats-server is not installed, only the tests with SQLite in the name of their module or parameter run.
"""

from __future__ import annotations

import secrets

import pytest

from tickwire.errors import JournalError
from tickwire.journal.nats.connection import NatsConnection
from tickwire.journal.nats.find_server import find_nats_server
from tickwire.testing.nats_server import NatsServer


def pytest_collection_modifyitems(items):
    if find_nats_server() is not None:
        return
    for item in items:
        if "cluster" in item.path.parts and "sqlite" not in item.nodeid:
            item.add_marker(pytest.mark.skip(reason="nats-server is not installed"))


@pytest.fixture(scope="session")
def nats(tmp_path_factory):
    """A server that all tests share. Each test uses its own journal name."""
    with NatsServer(tmp_path_factory.mktemp("nats")) as server:
        yield server


@pytest.fixture
def own_nats(tmp_path):
    """A server that the test may kill."""
    with NatsServer(tmp_path) as server:
        yield server


@pytest.fixture
def name():
    """A new journal name."""
    return f"test-{secrets.token_hex(4)}"


@pytest.fixture
def connect_error():
    """Try to connect to a server that refuses the connection. Return the error."""

    async def connect(address):
        for timeout_s in (0.5, 5.0, 30.0):
            with pytest.raises(JournalError) as caught:
                await NatsConnection.open(address, timeout_s=timeout_s)
            # If a busy server did not answer in time, try again with a longer timeout.
            if "no answer" not in str(caught.value):
                break
        return caught.value

    return connect
