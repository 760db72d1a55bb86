"""The feed of any WebSocket that sends JSON: `ws:URL` with a mapping from paths to fields."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from tickwire.clock import Clock
from tickwire.core.codec import decode_json
from tickwire.errors import InputError
from tickwire.feeds.feed_kind import FeedKind, FeedOptions, MarketState
from tickwire.feeds.json_mapping import JsonMapping
from tickwire.feeds.vendors.vendor import Credentials, SessionOutput, Vendor, VendorError
from tickwire.feeds.vendors.websocket_feed import WebSocketFeed
from tickwire.market.dirty_ticks import DirtyTick
from tickwire.redaction import redact_address

# The longest time without a message. It is long, because a source may send few prices and no heartbeats.
_MAX_SILENCE_S = 300.0


class JsonStreamSession:
    """The protocol of one connection to a source whose messages are JSON documents."""

    def __init__(self, mapping: JsonMapping, greeting: str, _credentials: Credentials, output: SessionOutput) -> None:
        self._mapping = mapping
        self._greeting = greeting
        self._output = output

    def open(self) -> Sequence[str]:
        return [line for line in self._greeting.splitlines() if line.strip()]

    def subscribe(self, _symbols: Sequence[str]) -> Sequence[str]:
        return ()

    def unsubscribe(self, _symbols: Sequence[str]) -> Sequence[str]:
        return ()

    def receive(self, message: bytes, now: int) -> None:
        document = decode_json(message, object)
        self._output.is_subscribed = True
        try:
            self._output.rows += self._mapping.rows(document, now)
        except InputError as error:
            raise VendorError(str(error)) from None
        except ValueError:
            self._output.count_dirty(DirtyTick.UNREADABLE)


def _open_feed(argument: str, options: FeedOptions, clock: Clock, _initial_state: MarketState) -> WebSocketFeed:
    if not argument.startswith(("ws://", "wss://")):
        raise InputError(
            f"invalid feed 'ws:{redact_address(argument)}': write an address such as ws:wss://host/path", field="feed"
        )
    mapping = JsonMapping(options.recording_options.mapping, options.recording_options.symbol)
    session = partial(JsonStreamSession, mapping, options.greeting)
    vendor = Vendor("ws", argument, _MAX_SILENCE_S, 1, session, lists_symbols=False)
    return WebSocketFeed(vendor, (), options, clock)


FEED_KIND = FeedKind("ws", "live", _open_feed, argument="URL")
