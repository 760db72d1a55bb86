"""The headers of a message: the expected number of the message, and the traces to which the message belongs.

W3C Trace Context defines the header `traceparent`, so other programs that read the stream can continue the trace.
`traceparent` names only one trace. If the entries of several traced requests share a message, a second header names the
other traces.
"""

from __future__ import annotations

from collections.abc import Mapping

from tickwire.core.trace_context import Traceparents, valid_traceparents
from tickwire.journal.shared.log import LogMessage

TRACEPARENT_HEADER, OTHER_TRACEPARENTS_HEADER = "traceparent", "Tickwire-Traceparents"


def message_headers(message: LogMessage) -> dict[str, str]:
    """Return the headers of a message that is about to be sent."""
    headers = {"Nats-Expected-Last-Sequence": str(message.number - 1)}
    if message.traceparents:
        first, *others = message.traceparents
        headers[TRACEPARENT_HEADER] = first
        if others:
            headers[OTHER_TRACEPARENTS_HEADER] = ",".join(others)
    return headers


def traceparents_from_headers(headers: Mapping[str, str] | None) -> Traceparents:
    """Return the traceparents of a received message. Any client of the NATS server may have written the headers."""
    if not headers or TRACEPARENT_HEADER not in headers:
        return ()
    others = headers.get(OTHER_TRACEPARENTS_HEADER, "").split(",")
    return valid_traceparents([headers[TRACEPARENT_HEADER], *others])
