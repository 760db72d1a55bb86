"""A marker for tests that run in a short variant (`make test`) and in a long variant (`make test-slow`)."""

from __future__ import annotations

import pytest


def short_and_long(argument: str, short: object, long: object) -> pytest.MarkDecorator:
    """Return a marker that runs a test with a short and a long value of its parameter `argument`.

    `make test` runs the test with the value `short`. `make test-slow` runs the test with the value `long`, and the
    long variant has the pytest marker `long`. tests/conftest.py sets a separate timeout for tests with this marker.
    """
    return pytest.mark.parametrize(
        argument, [pytest.param(short, id="short"), pytest.param(long, id="long", marks=pytest.mark.long)]
    )
