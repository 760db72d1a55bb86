"""What was learned from controls: the same for every hub of a process, however far behind the market it is."""

from __future__ import annotations

from tickwire.hub.changes import Changes
from tickwire.hub.control import Change, Control, Forget, Hold, Keep, Revoke, Stage
from tickwire.hub.kept import Kept
from tickwire.hub.revoked import Revoked
from tickwire.hub.saved import Saved


class Ledger:
    """Changed subscriptions, kept ones, revoked tokens, and what the simulation plays."""

    def __init__(self) -> None:
        self.changes = Changes()
        self.kept = Kept()
        self.revoked = Revoked()
        self.stage: Stage | None = None

    def take(self, control: Control, at: int) -> bool:
        """Note what event `at` says; whether it holds."""
        if isinstance(control, Change):
            return self.changes.take(control, at)
        if isinstance(control, Forget):
            self.changes.forget(set(control.changes), control.after)
        elif isinstance(control, Keep):
            self.kept.put(control.id, control.parameters, control.user)
        elif isinstance(control, Hold):
            self.changes.hold(set(control.clients), at)
            self.kept.hold(control.kept)
        elif isinstance(control, Revoke):
            self.revoked.take(control)
        elif isinstance(control, Stage):
            self.stage = control
        return True

    def save(self, board: bytes, candles: bytes, halted: list[str]) -> Saved:
        """All of it, beside the saved board and candles, and the symbols that do not trade."""
        return Saved(
            board=board,
            changes=self.changes.save(),
            kept=self.kept.save(),
            revoked=self.revoked.save(),
            candles=candles,
            stage=self.stage,
            halted=halted,
            held=self.changes.held(),
            owners=self.kept.owners(),
        )

    def restore(self, saved: Saved) -> None:
        """Take what `save` gave."""
        self.changes.restore(saved.changes, saved.held)
        self.kept.restore(saved.kept, saved.owners)
        self.revoked.restore(saved.revoked)
        self.stage = saved.stage

    def forget(self, now: float, wall: float) -> None:
        """Let go of what time alone ends. `now` is monotonic and `wall` the time of day, in seconds."""
        self.kept.forget(now)
        self.revoked.forget(wall)
