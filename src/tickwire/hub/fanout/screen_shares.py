"""The limits for the filters of one client.

The screen index (the index of all filters in use) has room for a limited number of different calculations, text
patterns and structures. Without limits, the filters of one client could occupy all of this room. The server counts the
filters of each bearer together. A bearer is a user, or else a token, or else a network address.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Literal, TypeAlias

from tickwire.errors import FilterShareExceeded
from tickwire.screens.compiler import allowed_texts
from tickwire.screens.screen import Screen
from tickwire.screens.syntax_tree import Field

# The maximum number of different parts of one kind in the filters of a bearer: a fifth of the room in the index. The
# parser limits the parts of one filter, so the largest filter alone does not reach this limit.
MAX_FILTER_PARTS_PER_BEARER = 200

_PartKind: TypeAlias = Literal["calculations", "text patterns", "structures"]
_Part: TypeAlias = tuple[_PartKind, object]


class ScreenShares:
    """Counts the calculations, text patterns and structures in the filters of each bearer.

    A bearer is a user, or else a token, or else a network address. A calculation that occurs in several filters of a
    bearer counts once. If an argument `bearer` is None, the client (such as an admin) has no limits.
    """

    def __init__(self) -> None:
        self._filter_references = Counter[tuple[str, Screen]]()
        self._part_references: dict[str, Counter[_Part]] = {}

    def check(self, bearer: str | None, screen: Screen) -> None:
        """Raise FilterShareExceeded if the bearer's filters would exceed a limit with this filter."""
        if bearer is None or (bearer, screen) in self._filter_references:
            return
        used: Iterable[_Part] = self._part_references.get(bearer, ())
        counts = Counter(kind for kind, _ in {*used, *_parts(screen)})
        for kind, count in counts.items():
            if count > MAX_FILTER_PARTS_PER_BEARER:
                raise FilterShareExceeded(
                    f"the filters of a user may contain at most {MAX_FILTER_PARTS_PER_BEARER} different {kind}: close "
                    "streams with other filters, or use a simpler filter"
                )

    def add(self, bearer: str | None, screen: Screen | None) -> None:
        """Count one use of a filter by the bearer."""
        if bearer is None or screen is None:
            return
        self._filter_references[bearer, screen] += 1
        if self._filter_references[bearer, screen] == 1:
            self._part_references.setdefault(bearer, Counter()).update(_parts(screen))

    def remove(self, bearer: str | None, screen: Screen | None) -> None:
        """Undo one call of `add` with the same arguments."""
        if bearer is None or screen is None:
            return
        self._filter_references[bearer, screen] -= 1
        if self._filter_references[bearer, screen]:
            return
        del self._filter_references[bearer, screen]
        parts = self._part_references[bearer]
        for part in _parts(screen):
            parts[part] -= 1
            if not parts[part]:
                del parts[part]
        if not parts:
            del self._part_references[bearer]


def _parts(screen: Screen) -> set[_Part]:
    compiled = screen.compiled
    parts: set[_Part] = {("structures", (compiled.shape, len(compiled.intervals), len(compiled.text_conditions)))}
    for interval in compiled.intervals:
        if not isinstance(interval.expression, Field):
            parts.add(("calculations", interval.expression))
    for condition in compiled.text_conditions:
        if allowed_texts(condition) is None:
            parts.add(("text patterns", condition))
    return parts
