"""Type aliases for the NumPy arrays that modules pass to each other."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]
Bools: TypeAlias = NDArray[np.bool_]

RowArray: TypeAlias = NDArray[np.intp]
"""Row numbers: positions in a board or in another array."""

Timestamps: TypeAlias = NDArray[np.int64]
"""Nanoseconds since the Unix epoch."""
