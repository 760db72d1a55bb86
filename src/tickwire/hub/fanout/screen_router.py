"""Routes quotes to channels with a filter (screen), and reports the symbols that enter or leave a screen."""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np

from tickwire.core.arrays import Bools, RowArray
from tickwire.core.codec import encode_json
from tickwire.core.event_kinds import StreamEvent
from tickwire.errors import ScreenLimitReached
from tickwire.hub.fanout.channel import Channel
from tickwire.hub.fanout.position import HubPosition
from tickwire.hub.fanout.ranked_screens import RankedScreen, RankedScreens
from tickwire.hub.fanout.rendered_events import RenderedQuotes
from tickwire.market.board import Board
from tickwire.screens.index.screen_index import ScreenIndex
from tickwire.sessions.subscription import RankedSelection, Subscription
from tickwire.sse.frame import encode_frame, encode_json_frame, frame_data, frame_id

log = logging.getLogger(__name__)

# The number of board rows (one per symbol) that one step loads into a new index. The step takes about 3 ms.
_ROWS_PER_STEP = 4_096


class _ScreenEffect(NamedTuple):
    """The effect of a batch of quotes on one screen.

    Each field lists indexes of quotes in the batch, in ascending order. `matches` lists the quotes that match the
    screen. `entered` lists those of them whose symbol did not match before. `left` lists the quotes that do not match,
    although their symbol matched before.
    """

    matches: list[int]
    entered: list[int]
    left: list[int]

    def restrict(self, channel: Channel, rows: Sequence[int]) -> _ScreenEffect:
        """Return the effect of the batch on the symbols of a channel. `rows` contains the board row of each quote."""
        if channel.takes_all_symbols:
            return self
        return _ScreenEffect(*([index for index in indexes if rows[index] in channel.rows] for indexes in self))


class ScreenRouter:
    """The screens in use (filters on quotes), and the channels of each screen.

    The screen index finds the screens that a quote matches. The index exists only while a channel has a filter or a
    top-N screen. The index is built from the board when the first such channel is added.

    A channel with a top-N screen receives no quotes from this router. It reads the screen at each of its flushes.
    """

    def __init__(self, board: Board, head: HubPosition) -> None:
        self._board = board
        self._ranked_screens = RankedScreens(head, board)
        self._ranked_by_channel: dict[Channel, RankedScreen] = {}
        self._index: ScreenIndex | None = None
        self._channels_by_screen: dict[int, dict[Channel, None]] = {}
        self._screen_numbers: dict[Channel, int] = {}
        # Maps a channel to the filter in the tokens of its readers, as a number in the index. Channels without such a
        # filter have no entry.
        self._required_numbers: dict[Channel, int] = {}
        self._reservation_count = 0

    @contextmanager
    def reserve(self, subscription: Subscription) -> Iterator[Iterator[None]]:
        """Return a context manager that keeps a filter and a top-N screen in the index while the context is active.

        The filter and the top-N screen are those of `subscription`. The context yields an iterator, which adds them to
        the index in steps of a few milliseconds. The caller must exhaust the iterator. After that, the caller can add a
        channel with `subscription` at once. The iterator raises ScreenLimitReached if the index has no room.
        """
        numbers, selections = list[int](), list[RankedSelection]()
        self._reservation_count += 1
        steps = self._add_stepwise(subscription, numbers, selections)
        try:
            yield steps
        finally:
            steps.close()
            self._reservation_count -= 1
            for selection in selections:
                self._ranked_screens.release(selection)
            if self._index is not None:
                for number in numbers:
                    self._index.remove(number)
            self._drop_unused_index()

    def add_channel(self, channel: Channel) -> None:
        """Add a channel with a filter or a top-N screen.

        Raise ScreenLimitReached if the screen index has no room for them.
        """
        index, subscription = self._ensure_index(), channel.subscription
        required = None if subscription.required_screen is None else index.add(subscription.required_screen)
        try:
            if subscription.ranking is not None:
                self._ranked_by_channel[channel] = self._ranked_screens.acquire(subscription.ranked_selection, index)
            elif channel.screen is not None:
                number = self._screen_numbers[channel] = index.add(channel.screen)
                self._channels_by_screen.setdefault(number, {})[channel] = None
        except ScreenLimitReached:
            if required is not None:
                index.remove(required)
            raise
        if required is not None:
            self._required_numbers[channel] = required

    def remove_channel(self, channel: Channel) -> None:
        """Remove a channel. Remove its screen too if no other channel has this screen."""
        if self._ranked_by_channel.pop(channel, None) is not None:
            self._ranked_screens.release(channel.subscription.ranked_selection)
        else:
            number = self._screen_numbers.pop(channel)
            del self._channels_by_screen[number][channel]
            if not self._channels_by_screen[number]:
                del self._channels_by_screen[number]
            self._ensure_index().remove(number)
        required = self._required_numbers.pop(channel, None)
        if required is not None:
            self._ensure_index().remove(required)
        self._drop_unused_index()

    def readable_rows(self, channel: Channel, rows: RowArray) -> RowArray:
        """Return the rows in `rows` whose newest quote matches the filter in the tokens of the channel's readers."""
        return self._ensure_index().matching_rows(self._required_numbers[channel], rows)

    def ranked_rows(self, channel: Channel) -> RowArray:
        """Return the board rows of the symbols in the channel's top-N screen, the best first."""
        selected = None if channel.takes_all_symbols else channel.row_array
        return self._ranked_by_channel[channel].rows(selected)

    def matching_rows(self, channel: Channel, rows: RowArray | None = None) -> RowArray:
        """Return the board rows in `rows` that match the channel's filter now, in the order of `rows`.

        If `rows` is None, return all matching rows of the board, sorted, regardless of the channel's symbols.
        """
        return self._ensure_index().matching_rows(self._screen_numbers[channel], rows)

    def test_texts(self, channel: Channel, rows: RowArray) -> list[Bools]:
        """Test the text conditions of the channel's filter with the symbols of some board rows, and return the results.

        The texts of a symbol never change, so the results are valid for old quotes too.
        """
        return self._ensure_index().test_texts(self._screen_numbers[channel], rows)

    def test_announced(self, symbols: Sequence[str]) -> Iterator[None]:
        """Test the filters with symbols that the board is about to append (see `TextBitmaps`)."""
        return iter(()) if self._index is None else self._index.test_announced(symbols)

    def forget_announced(self) -> None:
        """Delete the stored results of `test_announced`."""
        if self._index is not None:
            self._index.forget_announced()

    @property
    def is_in_use(self) -> bool:
        """Whether a channel has a filter, or a stream with a filter is about to open."""
        return self._index is not None

    def route_quotes(self, item: RenderedQuotes) -> Iterator[Channel]:
        """Append matching quotes and screen events to the channels with filters. Yield each affected channel.

        A paced channel renders its frames later, at its flush. For such a channel, this method only counts the matching
        quotes.
        """
        if self._index is None:
            return
        changes = self._index.apply(item.quotes.rows, item.quotes.to_numbers())
        matches, entered, left = changes.quotes_by_screen(), _by_screen(changes.entered), _by_screen(changes.left)
        for number in {**matches, **left}:
            for channel in self._channels_by_screen.get(number, ()):
                effect = _ScreenEffect(matches.get(number, []), entered.get(number, []), left.get(number, []))
                if self._route_to_channel(channel, item, effect.restrict(channel, item.rows)):
                    yield channel

    def _route_to_channel(self, channel: Channel, item: RenderedQuotes, effect: _ScreenEffect) -> bool:
        """Append the frames of a batch of quotes to a channel. Return whether the batch affects the channel.

        For a paced channel, only count the quotes: such a channel renders its frames at its next flush.
        """
        channel.matched_quotes += len(effect.matches)
        if channel.is_paced:
            return bool(effect.matches)
        try:
            frames = self._render(channel, item, effect)
        except Exception:
            # A failure in one channel must not prevent the other channels from receiving their frames.
            log.exception(
                "cannot render events for the filter '%s'; the server disconnects the readers with this filter",
                channel.screen,
            )
            channel.disconnect_all()
            return True
        channel.pending_frames += frames
        return bool(frames)

    def _render(self, channel: Channel, item: RenderedQuotes, effect: _ScreenEffect) -> list[bytes]:
        fields, quotes = channel.subscription.fields, effect.matches if channel.sends_quotes else []
        if not channel.sends_screen_events or not (effect.entered or effect.left):
            return item.frames_at(quotes, fields)
        entered, left = set(effect.entered), set(effect.left)
        indexes = sorted({*quotes, *entered, *left})
        frames = list[bytes]()
        for index, quote in zip(indexes, item.frames_at(indexes, fields), strict=True):
            render = enter_frames if index in entered else leave_frames if index in left else _only_quote_frame
            frames += render(channel, self._board.symbols[item.rows[index]], quote)
        return frames

    def _add_stepwise(
        self, subscription: Subscription, numbers: list[int], selections: list[RankedSelection]
    ) -> Generator[None, None, None]:
        """Add the filters and the top-N screen of a subscription to the index in steps.

        The method appends the numbers of the filters to `numbers`, and the selection of the top-N screen to
        `selections`.
        """
        if self._index is None:
            index = yield from self._build_index()
            # Check again, because another reservation may have built the index during a pause.
            if self._index is None:
                self._index = index
        for screen in subscription.filters:
            number = yield from self._index.add_stepwise(screen)
            numbers.append(number)
        if subscription.ranking is not None:
            self._ranked_screens.acquire(subscription.ranked_selection, self._index)
            selections.append(subscription.ranked_selection)

    def _build_index(self) -> Generator[None, None, ScreenIndex]:
        board = self._board
        index, begin_sequence = self._create_index(), board.sequences.max(initial=0)
        for begin in range(0, len(board), _ROWS_PER_STEP):
            self._load_rows(index, np.arange(begin, min(begin + _ROWS_PER_STEP, len(board))))
            yield
        self._load_rows(index, np.flatnonzero(board.sequences > begin_sequence))
        return index

    def _create_index(self) -> ScreenIndex:
        return ScreenIndex(self._board.symbols, self._board.instruments, self._board.symbol_column)

    def _load_rows(self, index: ScreenIndex, rows: RowArray) -> None:
        index.load(rows, self._board.quotes(rows).to_numbers())

    def _ensure_index(self) -> ScreenIndex:
        if self._index is None:
            index = self._create_index()
            self._load_rows(index, np.arange(len(self._board)))
            self._index = index
        return self._index

    def _drop_unused_index(self) -> None:
        if not self._screen_numbers and not self._ranked_by_channel and not self._reservation_count:
            self._index = None


def matches_frame(channel: Channel, symbols: list[str]) -> bytes:
    """Return the frame of a `matches` event, which lists all symbols of a channel's screen.

    The frame has no id, because it is part of a catch-up and does not advance the reader's position.
    """
    data = b'{"filter":%b,"symbols":%b}' % (channel.filter_json, encode_json(symbols))
    return encode_frame(data, event=StreamEvent.MATCHES)


def enter_frames(channel: Channel, symbol: str, quote: bytes) -> list[bytes]:
    """Return the frames for a symbol that enters the channel's screen. `quote` is the frame of the matching quote.

    Only the last frame has the event id of the quote, so a client that resumes from this id has received all of the
    frames.
    """
    if not channel.sends_quotes:
        return [_screen_event_frame(channel, StreamEvent.ENTER, symbol, quote, has_id=True)]
    return [_screen_event_frame(channel, StreamEvent.ENTER, symbol, quote, has_id=False), quote]


def leave_frames(channel: Channel, symbol: str, quote: bytes) -> list[bytes]:
    """Return the frames for a symbol that leaves the channel's screen.

    `quote` is the frame of the symbol's newest quote. If the tokens of the readers have a filter, the readers have no
    right to read this quote, so the event contains only the symbol.
    """
    return [_screen_event_frame(channel, StreamEvent.LEAVE, symbol, quote, has_id=True)]


def _only_quote_frame(channel: Channel, symbol: str, quote: bytes) -> list[bytes]:
    return [quote]


def _by_screen(screens_by_index: Mapping[int, RowArray]) -> dict[int, list[int]]:
    """Return a dict from the id of each screen to the indexes of the quotes that affect this screen.

    `screens_by_index` maps the index of a quote to the ids of the affected screens.
    """
    indexes_by_screen: dict[int, list[int]] = {}
    for index in sorted(screens_by_index):
        for number in screens_by_index[index].tolist():
            indexes_by_screen.setdefault(number, []).append(index)
    return indexes_by_screen


def _screen_event_frame(channel: Channel, event: StreamEvent, symbol: str, quote: bytes, *, has_id: bool) -> bytes:
    name = encode_json(symbol)
    is_hidden = event is StreamEvent.LEAVE and channel.readable is not None
    data = b'{"symbol":' + name + b"}" if is_hidden else frame_data(quote)
    parts = (b'{"filter":', channel.filter_json, b',"symbol":', name, b',"quote":', data)
    return encode_json_frame((*parts, b"}"), event=event, id=frame_id(quote) if has_id else None)
