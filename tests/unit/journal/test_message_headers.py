"""The headers of a message on NATS, which any client of the NATS server may have written."""

from __future__ import annotations

import pytest

from tickwire.core.trace_context import MAX_TRACEPARENTS
from tickwire.journal.nats.message_headers import message_headers, traceparents_from_headers
from tickwire.journal.shared.log import LogMessage

TEXTS = tuple(f"00-{number:032x}-{number:016x}-01" for number in range(1, 2 * MAX_TRACEPARENTS))


@pytest.mark.parametrize("count", [0, 1, 2, MAX_TRACEPARENTS])
def test_headers_carry_the_traceparents(count):
    headers = message_headers(LogMessage(7, b"", "", None, TEXTS[:count]))
    assert headers["Nats-Expected-Last-Sequence"] == "6"
    assert headers.get("traceparent") == (TEXTS[0] if count else None)
    assert traceparents_from_headers(headers) == TEXTS[:count]


def test_invalid_and_surplus_traceparents_are_ignored():
    assert traceparents_from_headers(None) == ()
    assert traceparents_from_headers({"Tickwire-Traceparents": TEXTS[0]}) == ()
    headers = {"traceparent": "x" * 10_000, "Tickwire-Traceparents": ",".join(["", "00-zz", *TEXTS])}
    assert traceparents_from_headers(headers) == TEXTS[:MAX_TRACEPARENTS]
