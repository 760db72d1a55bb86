"""The pages of the reference that the site generates from the code. `make docs` generates the others."""

from __future__ import annotations

import re

from docs.generate import close_reason_table, event_kind_table, filter_table, quote_table, stream_event_table
from docs.site.http_api import http_api_page

_EVENTS = """# Events and fields

The server generates these tables from its code. [The protocol](../protocol.md#events) shows each event in an example.

## Events of a stream

{stream_events}
## Kinds of events

The parameter `events` selects kinds.

{event_kinds}
## Reasons for the end of a stream

{close_reasons}
## Fields of a quote

{quote_fields}"""
_FILTERS = """# Fields of a filter

[Filters](../filters.md) explains the language, with examples.

{fields}"""


def reference_pages() -> dict[str, str]:
    """Return the text of each generated page, by its file name."""
    events = _EVENTS.format(
        stream_events=_from_protocol(stream_event_table()),
        event_kinds=_from_protocol(event_kind_table()),
        close_reasons=_from_protocol(close_reason_table()),
        quote_fields=_from_protocol(quote_table()),
    )
    return {
        "events.md": events,
        "filter-fields.md": _FILTERS.format(fields=filter_table()),
        "http-api.md": http_api_page(),
    }


def _from_protocol(table: str) -> str:
    """Return a table of docs/protocol.md with links that work in the folder of the reference."""
    return re.sub(r"\]\(([^)#]*)", lambda match: f"](../{match[1] or 'protocol.md'}", table)
