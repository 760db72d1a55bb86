"""Channels with candles: how closed ones reach them, and how they are shown those that form."""

from __future__ import annotations

from tickwire.hub.applied import AppliedCandles
from tickwire.hub.channel import Channel
from tickwire.hub.forming import FORMING, Forming
from tickwire.hub.head import Head
from tickwire.hub.plan import Plan, Plans


class Candling:
    """Closed candles as they come, and twice a second those that form and have changed.

    Paced channels get both with their own flushes.
    """

    def __init__(self, head: Head, forming: Forming, plans: Plans[int]) -> None:
        self._head = head
        self._forming = forming
        self._plans = plans  # by interval
        self._due = 0.0  # monotonic seconds: when forming candles are shown next
        self._shown_at = head.sequence  # up to which event they were

    def route(self, item: AppliedCandles) -> set[Channel]:
        """Give each channel its frames; answers the channels that have something to flush."""
        dirty: set[Channel] = set()
        for seconds, plan in self._plans.items():
            places = item.places.get(seconds)
            if places:
                _route(item, places, plan, dirty)
        return dirty

    def show(self, now: float) -> None:
        """Write the forming candles that have changed, if it is time. `now` is monotonic, in seconds."""
        if now < self._due:
            return
        self._due = now + FORMING
        after, self._shown_at = self._shown_at, self._head.sequence
        if not self._plans or after == self._shown_at:
            return
        rows = self._forming.after(after).tolist()
        for seconds, plan in self._plans.items():
            for channel in self._shown(rows, seconds, plan):
                channel.formed_at = self._shown_at
                channel.flush(now)

    def _shown(self, rows: list[int], seconds: int, plan: Plan) -> set[Channel]:
        """Let the rows' candles be pending where they are wanted; answers the channels."""
        dirty: set[Channel] = set()
        board_rows: list[int] = self._forming.board_rows[rows].tolist()
        wanted = [
            (row, [*plan.everything, *plan.routes[board_row]])
            for row, board_row in zip(rows, board_rows, strict=True)
            if plan.everything or plan.routes[board_row]
        ]
        frames = self._forming.frames([row for row, _ in wanted], seconds)
        for one, (row, channels) in zip(frames, wanted, strict=True):
            traded_at = self._forming.sequence(row)
            for channel in channels if one else ():
                if traded_at > channel.formed_at and not channel.paced:
                    channel.pending.append(one)
                    dirty.add(channel)
        return dirty


def _route(item: AppliedCandles, places: list[int], plan: Plan, dirty: set[Channel]) -> None:
    rows, routes = item.rows, plan.routes
    if not plan.everything:
        places = [place for place in places if routes[rows[place]]]
    for place, one in zip(places, item.events(places), strict=True):
        channels = routes[rows[place]]
        for channel in (*plan.everything, *channels):
            if channel.paced:
                channel.named.append(one)
            else:
                channel.pending.append(one.frame)
                dirty.add(channel)
