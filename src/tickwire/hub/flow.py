"""The live flow: what was applied goes to the channels that want it, and out to those who are up to date.

The board has taken an event before it comes here. So whatever goes wrong is about readers: those for whom something
cannot be made are sent away, and come back with what they have seen; the process and everybody else go on.
"""

from __future__ import annotations

import logging

from tickwire.core.quote import Fields
from tickwire.hub.applied import Applied, AppliedCandles, AppliedNamed, AppliedQuotes
from tickwire.hub.candling import Candling
from tickwire.hub.channel import Channel
from tickwire.hub.control import CONTROL
from tickwire.hub.controller import Controller
from tickwire.hub.plan import Plan
from tickwire.hub.reader import Reader
from tickwire.hub.roster import Roster
from tickwire.hub.router import Router
from tickwire.hub.state import StateFrames
from tickwire.hub.tally import Tally

log = logging.getLogger(__name__)


class Flow:
    """Gives each event to its channels, which are flushed when a batch is through. `now` is monotonic, in seconds."""

    def __init__(  # noqa: PLR0917  # each of another kind
        self,
        roster: Roster,
        router: Router,
        state: StateFrames,
        candling: Candling,
        control: Controller,
        tally: Tally,
    ) -> None:
        self._roster = roster
        self._router = router
        self._state = state
        self._candling = candling
        self._control = control
        self._tally = tally
        self._dirty: set[Channel] = set()

    def make_way(self, item: Applied, now: float) -> None:
        """Write what is pending before an event that not all readers of a channel get.

        The head still stands before it: whom this fills finds the event when it catches up.
        """
        if isinstance(item, AppliedNamed) and item.target is not None:
            for reader in self._roster.named(item.target):
                _flush(self._roster.channels[reader], now)

    def give(self, item: Applied, now: float) -> None:
        """Let all who want an event have it."""
        if isinstance(item, AppliedNamed) and item.kind == CONTROL:
            self._obey(item, now)
            return
        try:
            self._route(item)
        except Exception:
            log.exception("all readers are sent away: events up to %d cannot be given to them", item.last)
            for channel in self._router.channels.values():
                channel.fail()

    def flush(self, now: float) -> None:
        """Write what is pending."""
        for channel in self._dirty:
            _flush(channel, now)
        self._dirty.clear()

    def _obey(self, item: AppliedNamed, now: float) -> None:
        try:
            self._control.obey(item, now)
        except Exception:  # of another version, perhaps: it stands in the journal for good, so no restart would help
            log.exception("control %d cannot be obeyed", item.first)

    def _route(self, item: Applied) -> None:
        if isinstance(item, AppliedQuotes):
            self._route_quotes(item)
        elif isinstance(item, AppliedCandles):
            self._dirty |= self._candling.route(item)
        else:
            self._route_named(item)

    def _route_quotes(self, item: AppliedQuotes) -> None:
        board = self._state.board
        self._router.extend(board.symbols)
        self._tally.add(item.quotes.rows, len(board))
        for fields, plan in self._router.plans.items():
            self._route_planned(item, fields, plan)
        self._dirty.update(self._router.screening.route(item))

    def _route_planned(self, item: AppliedQuotes, fields: Fields, plan: Plan) -> None:
        dirty, routes = self._dirty, plan.routes
        if plan.everything:
            frames = item.all_frames(fields)
            for channel in plan.everything:
                channel.pending += frames
            dirty.update(plan.everything)
        wanted = [place for place, row in enumerate(item.rows) if routes[row]]
        for place, one in zip(wanted, item.frames(wanted, fields), strict=True):
            for channel in routes[item.rows[place]]:
                if not channel.pending:  # what has something pending is among the dirty already
                    dirty.add(channel)
                channel.pending.append(one)

    def _route_named(self, item: AppliedNamed) -> None:
        self._state.keep(item)
        if item.target is not None:
            for reader in self._roster.named(item.target):
                self._tell(reader, item)
            return
        for channel in self._router.channels.values():
            if item.kind not in channel.subscription.events:
                continue
            if channel.paced:
                channel.named.append(item)
            else:
                channel.pending.append(item.frame)
                self._dirty.add(channel)

    def _tell(self, reader: Reader, item: AppliedNamed) -> None:
        """An event for one reader of a channel, after all that the channel writes to everybody."""
        channel = self._roster.channels[reader]
        if not reader.live or item.kind not in channel.subscription.events:
            return  # catch-up will find it, or it is not wanted
        if channel.paced:
            channel.leave(reader)
            channel.join(reader)  # its next flush is one of its own
        else:
            reader.write(item.frame)
            self._tally.delivered += 1


def _flush(channel: Channel, now: float) -> None:
    try:
        channel.flush(now)
    except Exception:  # the others have their frames
        log.exception("readers of a channel are sent away: %s", channel.subscription.describe())
        channel.fail()
