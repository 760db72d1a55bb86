"""The table of close reasons: the wire format, the dashboard and the Python client cover every reason."""

from __future__ import annotations

import re
from pathlib import Path

import httpx2
import pytest

from tickwire.client.stream import connect
from tickwire.core.close_reasons import CloseReason
from tickwire.core.codec import encode_json
from tickwire.hub.fanout.reader import bye_frame

PROJECT = Path(__file__).parents[3]
WIRE_REASONS = [reason for reason in CloseReason if reason.is_on_wire]


def test_the_wire_has_the_texts_of_the_table() -> None:
    assert [reason.value for reason in WIRE_REASONS] == [
        "drain", "lifetime", "expired", "evicted", "limit", "error",
    ]  # fmt: skip
    assert encode_json({CloseReason.LOST: CloseReason.DRAIN}) == b'{"lost":"drain"}'
    assert bye_frame(CloseReason.LIMIT, 5_000) == (
        b'retry: 5000\nevent: bye\ndata: {"reason":"limit","reconnect_in_ms":5000}\n\n'
    )


def test_the_javascript_client_knows_every_reason() -> None:
    text = (PROJECT / "clients/js/src/events.ts").read_text(encoding="utf-8")
    declaration = re.search(r"interface Bye \{\s*reason: ([^;]*);", text)
    assert declaration is not None
    assert set(re.findall(r'"(\w+)"', declaration[1])) == {reason.value for reason in WIRE_REASONS}


@pytest.mark.parametrize("reason", [*WIRE_REASONS, "a later version"])
async def test_the_python_client_returns_after_every_reason(reason: str) -> None:
    """The client adopts the reconnect delay of the `bye` event, even if the reason is unknown."""
    stream = connect("http://test")
    data = encode_json({"reason": reason, "reconnect_in_ms": 2_500}).decode()
    event = stream._process_event(httpx2.ServerSentEvent("bye", data))
    assert event.data["reason"] == reason
    assert stream._retry_delay_s == 2.5
    await stream.close()
