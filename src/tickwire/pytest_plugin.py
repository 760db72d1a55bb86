"""The pytest plugin of Tickwire: the fixture `tickwire_market`.

pytest loads this module in every run if Tickwire is installed. The module therefore imports the rest of Tickwire only
when a test uses the fixture.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tickwire.testing.market import RunningMarket

_MARKER = "tickwire_market"


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker `tickwire_market` with pytest."""
    config.addinivalue_line(
        "markers", f"{_MARKER}(real_time=False, **settings): settings of the server that the fixture {_MARKER} starts"
    )


@pytest.fixture
def tickwire_market(request: pytest.FixtureRequest) -> Iterator[RunningMarket]:
    """A server with a simulated market on a free port. The market's time changes only in `tickwire_market.advance`.

    The marker `tickwire_market` sets the server's settings: `@pytest.mark.tickwire_market(feed="http")`.
    """
    from tickwire.testing.market import RunningMarket

    # The marker of the test comes first, and overrides the markers of its class and its module.
    markers = [*request.node.iter_markers(_MARKER)]
    settings = {name: value for marker in reversed(markers) for name, value in marker.kwargs.items()}
    with RunningMarket(**settings) as market:
        yield market
