"""What one reader, one message or one broken socket cannot do to all the others."""

from __future__ import annotations

import pytest

from tickwire.hub.start import fresh
from tickwire.hub.subscription import Subscription
from tickwire.testing.market import Market
from tickwire.testing.sink import HandSink

SCREEN = ("quote", "screen")


@pytest.mark.parametrize("interval", [0, 100])
async def test_a_symbol_enters_and_leaves_though_nothing_but_its_name_is_wanted(interval: int) -> None:
    """A projection to the symbol alone is told of its screen like any other."""
    market = Market()
    await market.trade(("A", 1.0))
    sink = HandSink()
    wanted = Subscription(events=SCREEN, filter="last > 5", fields=["symbol"], interval=interval)
    market.read(wanted, fresh(market.hub.history(), snapshot=True), sink)
    await market.settle()
    market.pace()
    sink.forget()
    for last in (9.0, 1.0):
        await market.trade(("A", last))
        market.pace()
    told = [(name, data["symbol"]) for _, name, data in sink.events()]
    assert told == [("enter", "A"), ("quote", "A"), ("leave", "A")]
    await market.close()
