"""Test a program against a market of its own: pytest test_alarm.py

Tickwire installs the fixture `tickwire_market`.
"""

import tickwire


def wait_for_price(client: tickwire.Client, symbol: str, limit: float) -> float:
    """Return the first price of `symbol` at or above `limit`."""
    with client.quotes(symbol) as quotes:
        for quote in quotes:
            if quote.last is not None and quote.last >= limit:
                return quote.last
    raise AssertionError("a stream has no end")


def test_alarm_rings_at_the_limit(tickwire_market):
    for price in (99.0, 100.5):
        tickwire_market.publish({"symbol": "ACME", "last": price})
    assert wait_for_price(tickwire_market.client, "ACME", 100.0) == 100.5


def test_prices_change_when_the_time_advances(tickwire_market):
    with tickwire_market.client.board(["AAPL", "MSFT"]) as board:
        first = board["AAPL"].ts
        tickwire_market.advance(60)
        while board["AAPL"].ts == first:
            board.wait_for_changes(timeout_s=60)
