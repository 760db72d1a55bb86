"""Reads three facts about ticks from files: sale conditions, receive times and cancels. A replay ignores them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tickwire.core.correction import LEAST_SIZE
from tickwire.core.published_tick import MAX_CONDITIONS, PublishedTick
from tickwire.core.tick import TICK_DTYPE, PackedTicks, Tick, blank_ticks, ticks_from_packed

_CONDITIONS_BYTES = 16
# A receive time of 0 and an empty text mean that the file has no value.
TICK_WITH_FACTS_DTYPE = np.dtype(
    [*TICK_DTYPE.descr, ("recv_ts", "<i8"), ("conditions", f"S{_CONDITIONS_BYTES}"), ("tape", "S1"), ("cancel", "?")]
)
TicksWithFacts: TypeAlias = NDArray[np.void]
"""A one-dimensional array of `TICK_WITH_FACTS_DTYPE`."""

_CONDITION_SEPARATORS = " ,;|"
_FLAGS: Mapping[str, bool] = {"": False, "0": False, "false": False, "1": True, "true": True}


def blank_ticks_with_facts(count: int) -> TicksWithFacts:
    """Return `count` ticks without reported fields and facts."""
    ticks = np.zeros(count, TICK_WITH_FACTS_DTYPE)
    blank = blank_ticks(count)
    for name in TICK_DTYPE.names or ():
        ticks[name] = blank[name]
    return ticks


def withdraw_cancelled(ticks: TicksWithFacts) -> TicksWithFacts:
    """Return the ticks in the form of recordings, in which each cancel is a tick with a negative size."""
    ticks = ticks.copy()
    is_positive = ticks["cancel"] & (ticks["size"] >= 0.0)
    ticks["size"][is_positive] = -np.maximum(ticks["size"][is_positive], LEAST_SIZE)
    return ticks


def published_ticks(ticks: TicksWithFacts) -> Sequence[Tick]:
    """Convert ticks to the form in which a publisher sends them. A negative size becomes a cancel."""
    plain: PackedTicks = np.empty(len(ticks), TICK_DTYPE)
    for name in TICK_DTYPE.names or ():
        plain[name] = ticks[name]
    is_withdrawal = plain["size"] < 0.0
    has_facts = is_withdrawal | ticks["cancel"] | (ticks["recv_ts"] != 0) | (ticks["conditions"] != b"")
    if not has_facts.any():
        return ticks_from_packed(plain)
    plain["size"][is_withdrawal] *= -1.0
    plain["size"][is_withdrawal & (plain["size"] == LEAST_SIZE)] = 0.0
    facts = zip(
        (is_withdrawal | ticks["cancel"]).tolist(),
        (ticks["recv_ts"] // 1000).tolist(),
        ticks["conditions"].astype("U").tolist(),
        ticks["tape"].astype("U").tolist(),
        strict=True,
    )
    return [
        _with_facts(tick.to_fields(), is_cancel=is_cancel, recv_ts=recv_ts, conditions=conditions, tape=tape)
        for tick, (is_cancel, recv_ts, conditions, tape) in zip(ticks_from_packed(plain), facts, strict=True)
    ]


def _with_facts(fields: dict[str, Any], *, is_cancel: bool, recv_ts: int, conditions: str, tape: str) -> PublishedTick:
    if is_cancel:
        # Omit the other fields, such as the volume of the quote, because a cancel only identifies a trade.
        fields = {name: fields[name] for name in ("symbol", "ts", "last", "size") if name in fields}
        fields["cancel"] = True
    if recv_ts:
        fields["recv_ts"] = recv_ts
    if conditions:
        fields["conditions"] = list(conditions)
        # Omit the tape of a tick without conditions, because a server rejects such a tick.
        if tape:
            fields["tape"] = tape
    return PublishedTick(**fields)


def parse_conditions(cell: Any) -> bytes:
    """Return the codes of a cell, such as `@FI` or `@,F,I`. Raise ValueError for too many codes."""
    cells = cell if isinstance(cell, list) else [cell]
    codes = "".join(str(each) for each in cells if each is not None)
    codes = "".join(code for code in codes if code not in _CONDITION_SEPARATORS)
    if len(codes) > MAX_CONDITIONS or not codes.isascii():
        raise ValueError
    return codes.encode("ascii")


def parse_tape(cell: Any) -> bytes:
    """Return the tape of a cell, which is A, B, C or empty. Raise ValueError for any other cell."""
    text = "" if cell is None else str(cell).strip()
    if text not in ("", "A", "B", "C"):
        raise ValueError
    return text.encode("ascii")


def parse_flag(cell: Any) -> bool:
    """Return the value of a cell, which is true, false, 1, 0 or empty. Raise ValueError for any other cell."""
    text = "" if cell is None else str(cell).strip().lower()
    if text not in _FLAGS:
        raise ValueError
    return _FLAGS[text]


FACT_PARSERS: Mapping[str, tuple[Callable[[Any], Any], str]] = {
    "conditions": (parse_conditions, f"up to {MAX_CONDITIONS} codes such as @I"),
    "tape": (parse_tape, "A, B or C"),
    "cancel": (parse_flag, "true or false"),
}
"""For each fact except `recv_ts`: the parser of its cells, and a description of a valid cell."""
