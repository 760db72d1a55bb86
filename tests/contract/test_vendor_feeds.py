"""The contract suite over the feed of every vendor, with a local server in place of the vendor."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest
from tests.contract import vendor_messages

from tickwire.feeds.feed_kind import FeedOptions
from tickwire.feeds.vendors import alpaca, binance, coinbase, coinbase_advanced, kraken
from tickwire.feeds.vendors.vendor import Credentials, Vendor
from tickwire.feeds.vendors.websocket_feed import WebSocketFeed
from tickwire.testing.feed_contract import MIN_TICKS, FeedContract, FeedOpener
from tickwire.testing.vendor_server import Play, VendorServer, run_vendor_server, send_all


class VendorContract(FeedContract):
    """The contract of a vendor whose server plays `play`."""

    is_finite = False
    vendor: Vendor
    symbol: str

    @pytest.fixture
    def play(self) -> Play:
        raise NotImplementedError

    @pytest.fixture
    async def server(self, play: Play) -> AsyncIterator[VendorServer]:
        async with run_vendor_server(play) as server:
            yield server

    @pytest.fixture
    def open_feed(self, server: VendorServer) -> FeedOpener:
        options = FeedOptions(urls={self.vendor.name: server.url}, credentials=Credentials("key", "secret"))
        return lambda clock: WebSocketFeed(self.vendor, [self.symbol], options, clock)


class TestCoinbase(VendorContract):
    vendor, symbol = coinbase.VENDOR, "BTC-USD"

    @pytest.fixture
    def play(self) -> Play:
        return send_all(vendor_messages.coinbase(MIN_TICKS), requests=1)


class TestCoinbaseAdvanced(VendorContract):
    vendor, symbol = coinbase_advanced.VENDOR, "BTC-USD"

    @pytest.fixture
    def play(self) -> Play:
        return send_all(vendor_messages.coinbase_advanced(MIN_TICKS), requests=3)


class TestKraken(VendorContract):
    vendor, symbol = kraken.VENDOR, "BTC/USD"

    @pytest.fixture
    def play(self) -> Play:
        return send_all(vendor_messages.kraken(MIN_TICKS), requests=2)


class TestBinance(VendorContract):
    vendor, symbol = binance.VENDOR, "BTCUSDT"

    @pytest.fixture
    def play(self) -> Play:
        return send_all(vendor_messages.binance(MIN_TICKS), requests=1)


class TestAlpaca(VendorContract):
    vendor, symbol = alpaca.VENDOR, "AAPL"

    @pytest.fixture
    def play(self) -> Play:
        messages = [*vendor_messages.alpaca(MIN_TICKS)]

        async def play(connection, _number: int) -> None:
            await connection.send(json.dumps([{"T": "success", "msg": "connected"}]))
            assert json.loads(await connection.recv()) == {"action": "auth", "key": "key", "secret": "secret"}
            await connection.send(json.dumps([{"T": "success", "msg": "authenticated"}]))
            assert json.loads(await connection.recv())["trades"] == ["AAPL"]
            for message in messages:
                await connection.send(message)

        return play
