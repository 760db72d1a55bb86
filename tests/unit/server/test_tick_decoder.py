"""The rule of uploads: each line of the body contains exactly one tick."""

from __future__ import annotations

import pytest

from tickwire.errors import BatchRowError
from tickwire.server.tick_decoder import DirtyTickRejected, decode_tick_lines

TICK = b'{"symbol":"A","last":1}'
NOT_A_NUMBER = b'{"symbol":"A","last":NaN}'


def test_a_line_may_have_white_space_around_its_tick() -> None:
    assert [tick.symbol for tick in decode_tick_lines([TICK, b" \t" + TICK + b" \r"])] == ["A", "A"]


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ([TICK + TICK], "expected one JSON object"),
        ([TICK + TICK + b'{"symbol":"A","last":"x"}'], "expected one JSON object"),
        ([TICK + b" " + NOT_A_NUMBER], "expected one JSON object"),
        ([b"[%b]" % TICK], "expected"),
        ([b" [%b]" % TICK], "expected"),
        ([b"5"], "expected"),
        ([b'{"symbol":"A",', b'"last":1}' + TICK], "expected one JSON object"),
        ([b'{"symbol":"A","last":"x"}' + TICK], "last: expected `float`"),
        ([b'{"symbol":"A","lst":1}'], "object contains unknown field `lst`"),
        ([b'{"symbol":"A,B"}'], "symbol: expected"),
        ([b'{"last":1}'], "object missing required field `symbol`"),
    ],
)
def test_an_error_names_the_first_invalid_line(lines: list[bytes], reason: str) -> None:
    with pytest.raises(BatchRowError, match=reason) as raised:
        decode_tick_lines([TICK, TICK, *lines, TICK, b"x"])
    assert raised.value.index == 2
    assert str(raised.value).startswith("tick 2")


def test_a_value_that_is_not_a_number_is_a_dirty_tick() -> None:
    with pytest.raises(DirtyTickRejected) as raised:
        decode_tick_lines([TICK, NOT_A_NUMBER, NOT_A_NUMBER])
    assert str(raised.value) == "tick 1, last: NaN is not a number"
    assert (raised.value.index, raised.value.field) == (1, "last")
