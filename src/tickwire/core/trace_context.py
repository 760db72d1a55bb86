"""The trace context of journal entries, in the text format of W3C Trace Context (https://www.w3.org/TR/trace-context/).

A `traceparent` identifies a trace, and the span in this trace that has appended an entry. The code that appends and
delivers entries only forwards this text, so it depends on no tracing library.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TypeAlias

MAX_TRACEPARENTS = 32
"""The maximum number of traceparents of one message. Under load, a message contains the entries of many requests."""

Traceparents: TypeAlias = tuple[str, ...]
"""The traceparents of those spans that have appended an entry and are sampled. The tuple is empty if there is no such
span."""

# The parts of a traceparent are version, trace id, span id and flags (section 3.2 of W3C Trace Context).
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


def trace_id_of(traceparent: str) -> str:
    """Return the trace id of a valid traceparent, as hexadecimal digits."""
    return traceparent.split("-", 2)[1]


def valid_traceparents(texts: Iterable[str]) -> Traceparents:
    """Return at most MAX_TRACEPARENTS valid traceparents from `texts`. Another program has sent these texts."""
    return tuple(text for text in texts if _TRACEPARENT.fullmatch(text))[:MAX_TRACEPARENTS]
