"""Which other processes are there, as far as their signs tell."""

from __future__ import annotations

from collections.abc import Collection

GONE_SECONDS = 3.5  # without a sign, where one is due each second: not waited for any more
MISSED_SECONDS = 30.0  # and so long missed: a process may be stopped or cut off, and its readers still there


class Attendance:
    """Takes note of signs. Times are seconds of one clock that never goes back."""

    def __init__(self) -> None:
        self._heard: dict[str, float] = {}
        self._silent: set[str] = set()  # did not answer, and gave no sign since they were asked

    def see(self, node: str, now: float) -> bool:
        """A sign of a process; whether it is the first one of late."""
        new = node not in self.here(now)
        self._heard[node] = now
        self._silent.discard(node)
        return new

    def leave(self, node: str) -> None:
        """It has said that it goes."""
        self._heard.pop(node, None)
        self._silent.discard(node)

    def miss(self, nodes: Collection[str], asked: float) -> None:
        """These did not answer what they were asked at that moment: until their next sign nobody waits for them.

        Who gave one since then is only slow.
        """
        self._silent |= {node for node in nodes if self._heard.get(node, asked) < asked}

    def known(self, now: float) -> set[str]:
        """Those that may be there."""
        self._heard = {node: at for node, at in self._heard.items() if at >= now - MISSED_SECONDS}
        self._silent &= self._heard.keys()
        return {*self._heard}

    def here(self, now: float) -> set[str]:
        """Those that are there."""
        return {node for node, at in self._heard.items() if at >= now - GONE_SECONDS}

    def expected(self, now: float) -> set[str]:
        """Those whose answers are worth waiting for."""
        return self.here(now) - self._silent
