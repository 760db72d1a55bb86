"""The limits for the filters of one bearer.

The screen index (the index of all filters in use) has room for a limited number of different calculations, text
patterns, structures and top-N screens. Without limits, the filters of one bearer could occupy all of this room. The
user identifies the bearer. Without a user, the token identifies the bearer, and without a token, the network address.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Literal, TypeAlias

from tickwire.errors import FilterShareExceeded
from tickwire.screens.compiler import allowed_texts
from tickwire.screens.screen import Screen
from tickwire.screens.syntax_tree import Field, Node
from tickwire.sessions.subscription import RankedSelection, Subscription

# For each kind of part: the maximum number of different parts in all filters of one bearer. It is a fifth of the room
# in the index. The parser limits the parts of each filter, so a single filter never reaches this limit.
MAX_FILTER_PARTS_PER_BEARER = 200
# The maximum number of different top-N screens of a bearer: a fifth of MAX_RANKED_SCREENS.
MAX_RANKED_SCREENS_PER_BEARER = 20

_PartKind: TypeAlias = Literal["calculations", "text patterns", "structures", "top-N screens"]
_Part: TypeAlias = tuple[_PartKind, object]
_Condition: TypeAlias = Screen | RankedSelection


class ScreenShares:
    """Counts the calculations, text patterns, structures and top-N screens in the subscriptions of each bearer.

    A calculation that occurs in several filters of a bearer counts once. If an argument `bearer` is None, the client
    (such as an admin) has no limits.
    """

    def __init__(self) -> None:
        self._references = Counter[tuple[str, _Condition]]()
        self._part_references: dict[str, Counter[_Part]] = {}

    def check(self, bearer: str | None, subscription: Subscription) -> None:
        """Raise FilterShareExceeded if the bearer's filters would exceed a limit with this subscription."""
        if bearer is None:
            return
        new = [each for each in subscription.screen_conditions if (bearer, each) not in self._references]
        if not new:
            return
        used: Iterable[_Part] = self._part_references.get(bearer, ())
        counts = Counter(kind for kind, _ in {*used, *(part for condition in new for part in _parts(condition))})
        for kind, count in counts.items():
            limit = MAX_RANKED_SCREENS_PER_BEARER if kind == "top-N screens" else MAX_FILTER_PARTS_PER_BEARER
            if count > limit:
                raise FilterShareExceeded(
                    f"the filters of a user may contain at most {limit} different {kind}: close streams with other "
                    "filters, or use a simpler filter"
                )

    def add(self, bearer: str | None, subscription: Subscription) -> None:
        """Count one use of the filter and of the top-N screen of a subscription by the bearer."""
        if bearer is None or not subscription.is_screened:
            return
        for condition in subscription.screen_conditions:
            self._references[bearer, condition] += 1
            if self._references[bearer, condition] == 1:
                self._part_references.setdefault(bearer, Counter()).update(_parts(condition))

    def remove(self, bearer: str | None, subscription: Subscription) -> None:
        """Undo one call of `add` with the same arguments."""
        if bearer is None or not subscription.is_screened:
            return
        for condition in subscription.screen_conditions:
            self._references[bearer, condition] -= 1
            if not self._references[bearer, condition]:
                del self._references[bearer, condition]
                self._release_parts(bearer, condition)

    def _release_parts(self, bearer: str, condition: _Condition) -> None:
        parts = self._part_references[bearer]
        for part in _parts(condition):
            parts[part] -= 1
            if not parts[part]:
                del parts[part]
        if not parts:
            del self._part_references[bearer]


def _parts(condition: _Condition) -> set[_Part]:
    if isinstance(condition, RankedSelection):
        assert condition.ranking is not None  # noqa: S101  # only a ranking makes a top-N screen
        return {("top-N screens", condition), *_calculation(condition.ranking.expression)}
    compiled = condition.compiled
    parts: set[_Part] = {("structures", (compiled.shape, len(compiled.intervals), len(compiled.text_conditions)))}
    for interval in compiled.intervals:
        parts |= _calculation(interval.expression)
    for text_condition in compiled.text_conditions:
        if allowed_texts(text_condition) is None:
            parts.add(("text patterns", text_condition))
    return parts


def _calculation(expression: Node) -> set[_Part]:
    return set() if isinstance(expression, Field) else {("calculations", expression)}
