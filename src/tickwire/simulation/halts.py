"""Trading halts of a simulated market. A price rule or a command halts trading in a symbol."""

from __future__ import annotations

import numpy as np

from tickwire.core.arrays import Bools, Floats, RowArray
from tickwire.simulation.model import HaltRule

UNTIL_RESUMED = np.iinfo(np.int64).max
"""The end of a halt without a time limit."""


class TradingHalts:
    """The trading halts of a market. Times are in nanoseconds since the Unix epoch.

    `log_prices` are the current log prices, one for each symbol. The halt rule resembles the "limit up, limit down"
    rule of US exchanges. The rule halts a symbol for some time when the price of the symbol moves too far from a
    reference price. The reference is an exponential average of the symbol's recent log prices.
    """

    def __init__(self, rule: HaltRule | None, log_prices: Floats) -> None:
        self._rule = rule
        self._reference_log_prices = log_prices.copy()
        self._halted_until = np.zeros(len(log_prices), np.int64)
        self.halted_mask: Bools = np.zeros(len(log_prices), np.bool_)

    def halt(self, selection: Bools, until: int = UNTIL_RESUMED) -> Bools:
        """Halt the selected symbols until the time `until`.

        Return a mask that selects the symbols that this call has newly halted.
        """
        newly_halted = selection & ~self.halted_mask
        self.halted_mask |= selection
        self._halted_until[selection] = until
        return newly_halted

    @property
    def unreleased_mask(self) -> Bools:
        """A mask that selects the halted symbols, without the symbols whose halt was ended by `lift`.

        Trading in the omitted symbols resumes at the next call of `reopen_due`.
        """
        return self.halted_mask & (self._halted_until > 0)

    def lift(self, selection: Bools) -> None:
        """End the halts of the selected symbols. Trading resumes at the next call of `reopen_due`."""
        self._halted_until[selection] = 0

    def reopen_due(self, now: int, log_prices: Floats) -> Bools:
        """Resume trading in the symbols whose halt is over. Return a mask that selects these symbols.

        The current price of each of these symbols becomes its reference price.
        """
        reopened = self.halted_mask & (self._halted_until <= now)
        self.halted_mask &= ~reopened
        self._reference_log_prices[reopened] = log_prices[reopened]
        return reopened

    def reset_reference(self, log_prices: Floats) -> None:
        """Make the current prices the reference prices.

        Call this method when the market opens, and when the shares of a company are split.
        """
        self._reference_log_prices[:] = log_prices

    def halt_by_rule(self, now: int, elapsed_s: float, log_prices: Floats) -> Bools:
        """Halt the symbols whose price moved too far. Return a mask that selects these symbols.

        `elapsed_s` is the market time since the previous call, in seconds.
        """
        rule = self._rule
        if rule is None:
            return np.zeros(len(log_prices), np.bool_)
        too_far = np.abs(log_prices - self._reference_log_prices) > np.log1p(rule.move)
        self._reference_log_prices += (log_prices - self._reference_log_prices) * -np.expm1(-elapsed_s / rule.window)
        return self.halt(too_far & ~self.halted_mask, now + round(rule.seconds * 1e9))

    def copy_from(self, target_rows: RowArray, other: TradingHalts, source_rows: RowArray) -> None:
        """Copy trading halts from another market.

        `other` contains the halts of the other market. The symbol with the index `target_rows[i]` in this market
        receives the halt of the symbol with the index `source_rows[i]` in the other market.
        """
        self._halted_until[target_rows] = other._halted_until[source_rows]
        self.halted_mask[target_rows] = other.halted_mask[source_rows]
