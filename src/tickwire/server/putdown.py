"""When each subscription was last put down: who repeats one at once needs no other event in the journal."""

from __future__ import annotations

from collections import OrderedDict

FRESH_SECONDS = 15.0  # a quarter of what an unused one is kept for: a repetition is still good for three


class PutDown:
    """The moments at which this process let the journal have a subscription, for as long as they matter."""

    def __init__(self) -> None:
        self._moments: OrderedDict[str, float] = OrderedDict()  # monotonic seconds by id, the oldest first

    def __len__(self) -> int:
        return len(self._moments)

    def age(self, name: str, now: float) -> float | None:
        """How many seconds ago that was; None where it is too long ago. `now` is monotonic, in seconds."""
        moment = self._moments.get(name)
        return None if moment is None or now - moment >= FRESH_SECONDS else now - moment

    def note(self, name: str, now: float) -> None:
        """It is in the journal as of now."""
        self._moments[name] = now
        self._moments.move_to_end(name)
        while now - next(iter(self._moments.values())) >= FRESH_SECONDS:
            self._moments.popitem(last=False)
