"""Channels with a filter: which quotes they get, and which symbols enter and leave their screens."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from tickwire.core.codec import encode
from tickwire.errors import ScreensFull
from tickwire.hub.applied import AppliedQuotes
from tickwire.hub.channel import Channel
from tickwire.market.board import Board
from tickwire.screens.index import Changes, ScreenIndex
from tickwire.screens.screen import Screen
from tickwire.sse.frame import data_of, frame, id_of

log = logging.getLogger(__name__)

_Make: TypeAlias = Callable[[Channel, str, bytes], list[bytes]]
"""Makes a channel's frames of a symbol and its quote's frame."""


class Screening:
    """The screens in use, and the channels of each.

    The index of screens follows the board only while somebody has a filter; it begins anew with the first who has one.
    """

    def __init__(self, board: Board) -> None:
        self._board = board
        self._index: ScreenIndex | None = None
        self._channels: dict[int, list[Channel]] = {}
        self._numbers: dict[Channel, int] = {}

    def admits(self, screen: Screen) -> bool:
        """Whether one more such screen can be had."""
        index = ScreenIndex((), {}) if self._index is None else self._index  # who only asks begins nothing
        try:
            index.remove(index.add(screen))
        except ScreensFull:
            return False
        return True

    def connect(self, channel: Channel) -> None:
        """A channel with a filter has come; ScreensFull where that costs too much."""
        assert channel.screen is not None  # noqa: S101  # the router asks for no other
        number = self._numbers[channel] = self._begun().add(channel.screen)
        self._channels.setdefault(number, []).append(channel)

    def disconnect(self, channel: Channel) -> None:
        """It is gone."""
        number = self._numbers.pop(channel)
        self._channels[number].remove(channel)
        if not self._channels[number]:
            del self._channels[number]
        self._begun().remove(number)
        if not self._numbers:
            self._index = None

    def rows(self, channel: Channel) -> NDArray[np.intp]:
        """The board rows that the channel's filter takes now, in order, whatever its symbols."""
        return self._begun().rows(self._numbers[channel])

    def route(self, item: AppliedQuotes) -> Iterator[Channel]:
        """Give each channel its frames; answers the channels that have got some. Paced ones only count."""
        if self._index is None:
            return
        changes = self._index.apply(item.quotes.rows, item.quotes.numbers())
        for place, row in enumerate(item.rows):
            for number in changes.matching(place).tolist():
                for channel in self._channels.get(number, ()):
                    if channel.has(row):
                        self._take(channel, item, place, entered=_among(number, changes.entered.get(place)))
                        yield channel
            yield from self._left(item, place, changes)

    def _left(self, item: AppliedQuotes, place: int, changes: Changes) -> Iterator[Channel]:
        for number in changes.left.get(place, ()):
            for channel in self._channels.get(int(number), ()):
                if channel.has(item.rows[place]) and channel.tells and not channel.paced:
                    self._give(channel, item, place, left_frames)
                    yield channel

    def _take(self, channel: Channel, item: AppliedQuotes, place: int, *, entered: bool) -> None:
        """A quote that the channel's filter takes."""
        channel.routed += 1
        if channel.paced:
            return
        if entered and channel.tells:
            self._give(channel, item, place, entered_frames)
        elif "quote" in channel.subscription.events:
            self._give(channel, item, place, _quote_alone)

    def _give(self, channel: Channel, item: AppliedQuotes, place: int, made_of: _Make) -> None:
        """Let the channel have what this quote means to it."""
        try:
            (quote,) = item.frames([place], channel.subscription.fields)
            channel.pending += made_of(channel, self._board.symbols[item.rows[place]], quote)
        except Exception:  # the channels after it are to be served
            log.exception("readers with the filter %s are sent away", channel.screen)
            channel.fail()

    def _begun(self) -> ScreenIndex:
        if self._index is None:
            board = self._board
            self._index = ScreenIndex(board.symbols, board.instruments)
            self._index.load(np.arange(len(board)), board.quotes().numbers())
        return self._index


def matches_frame(channel: Channel, symbols: list[str]) -> bytes:
    """The whole set of a channel's screen. It has no id: it comes with a catch-up, and moves nobody's position."""
    return frame(encode({"filter": str(channel.screen), "symbols": symbols}), event="matches")


def entered_frames(channel: Channel, symbol: str, quote: bytes) -> list[bytes]:
    """What a channel gets for a symbol that enters its screen with this quote's frame.

    The last of them carries the id: who has that has seen both.
    """
    if "quote" not in channel.subscription.events:
        return [_crossing(channel, "enter", symbol, quote, numbered=True)]
    return [_crossing(channel, "enter", symbol, quote, numbered=False), quote]


def left_frames(channel: Channel, symbol: str, quote: bytes) -> list[bytes]:
    """What a channel gets for a symbol that leaves its screen with this quote's frame."""
    return [_crossing(channel, "leave", symbol, quote, numbered=True)]


def _quote_alone(channel: Channel, symbol: str, quote: bytes) -> list[bytes]:
    return [quote]


def _among(number: int, numbers: NDArray[np.intp] | None) -> bool:
    return numbers is not None and number in numbers


def _crossing(channel: Channel, name: str, symbol: str, quote: bytes, *, numbered: bool) -> bytes:
    data = b'{"filter":%b,"symbol":%b,"quote":%b}' % (channel.filter_json, encode(symbol), data_of(quote))
    return frame(data, event=name, id=id_of(quote) if numbered else None)
