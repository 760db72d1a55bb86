"""The counts of candles, compared with a Counter."""

from __future__ import annotations

import random
from collections import Counter

from tickwire.candles.series_counts import SeriesCounts
from tickwire.core.candle import INTERVAL_NAMES


def test_counts_equal_the_counts_of_a_model() -> None:
    seed = random.randrange(2**32)
    print("seed", seed)
    rng = random.Random(seed)
    counts, model = SeriesCounts(), Counter[tuple[str, int]]()
    reset_count = 0
    for _ in range(60):
        # The number of symbols exceeds the initial capacity.
        added = [(f"S{int(rng.paretovariate(0.3)) % 400}", rng.choice([*INTERVAL_NAMES])) for _ in range(50)]
        due = counts.add([symbol for symbol, _ in added], [interval for _, interval in added], 5)
        model.update(added)
        assert due == [each for each in added if model[each] >= 5]
        if rng.random() < 0.5:
            counts.reset(dict.fromkeys(due))
            reset_count += len(due)
            for each in due:
                del model[each]
    assert reset_count > 10
    counts.reset([])
