"""A NATS server for the tests of this folder; without the program they are skipped."""

from __future__ import annotations

import secrets

import pytest

from tickwire.journal.nats.program import find_server
from tickwire.testing.nats import NatsServer


def pytest_collection_modifyitems(items):
    if find_server() is None:
        for item in items:
            if "cluster" in item.path.parts:
                item.add_marker(pytest.mark.skip(reason="there is no nats-server on this machine"))


@pytest.fixture(scope="session")
def nats(tmp_path_factory):
    """A server that tests share; each takes a journal of its own."""
    with NatsServer(tmp_path_factory.mktemp("nats")) as server:
        yield server


@pytest.fixture
def own_nats(tmp_path):
    """A server that a test may kill."""
    with NatsServer(tmp_path) as server:
        yield server


@pytest.fixture
def name():
    """A journal's name."""
    return f"test-{secrets.token_hex(4)}"
