"""By what plan events of symbols reach channels."""

from __future__ import annotations

from typing import TypeVar

from tickwire.hub.channel import Channel

K = TypeVar("K")


class Plan:
    """Channels that want the same form of events: those of everything, and for each board row those that want it."""

    __slots__ = ("channels", "everything", "routes")

    def __init__(self, rows: int) -> None:
        self.channels = 0
        self.everything: list[Channel] = []
        self.routes: list[list[Channel]] = [[] for _ in range(rows)]


class Plans(dict[K, Plan]):
    """A plan for each form that somebody wants, by what tells them apart."""

    def add(self, key: K, channel: Channel, rows: int) -> None:
        """A channel has come that wants this form; there are `rows` board rows now."""
        if key not in self:
            self[key] = Plan(rows)
        plan = self[key]
        plan.channels += 1
        if channel.everything:
            plan.everything.append(channel)

    def remove(self, key: K, channel: Channel) -> None:
        """It is gone; the plan goes with the last one."""
        plan = self[key]
        plan.channels -= 1
        if not plan.channels:
            del self[key]
        for row in channel.rows:
            plan.routes[row].remove(channel)
        if channel in plan.everything:
            plan.everything.remove(channel)

    def extend(self) -> None:
        """The board has a row more."""
        for plan in self.values():
            plan.routes.append([])
