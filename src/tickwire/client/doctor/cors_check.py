"""Check that the pages of an origin may read the stream (CORS, Fetch standard)."""

from __future__ import annotations

from collections.abc import Sequence

import httpx2

from tickwire.client.doctor.finding import Diagnosis
from tickwire.client.doctor.stream_record import STREAM_PATH, StreamRecord

_ALLOW_ORIGIN = "access-control-allow-origin"
_PROXY = "a proxy that adds its own CORS headers"
_ADDED_BY_PROXY = "remove the header Access-Control-Allow-Origin from the proxy's configuration, and use --cors"


def check_cors(record: StreamRecord, origin: str, diagnosis: Diagnosis) -> None:
    """Check the response header that allows pages of `origin` to read the stream."""
    values = record.header_values(_ALLOW_ORIGIN)
    change = f"tickwire serve --cors {origin}"
    if not values:
        diagnosis.add(
            "cors", f"the headers of the answer do not allow pages of {origin} to read the stream", change=change
        )
    elif len(values) > 1 or "," in values[0]:
        diagnosis.add(
            "cors",
            f"the answer has several values of Access-Control-Allow-Origin: {', '.join(values)}; browsers reject it",
            culprit=diagnosis.product or _PROXY,
            change=_ADDED_BY_PROXY,
        )
    elif values[0] not in (origin, "*"):
        diagnosis.add("cors", f"only pages of {values[0]} may read the answer, not pages of {origin}", change=change)


async def check_preflight(
    client: httpx2.AsyncClient, base_url: str, origin: str, sent: Sequence[str], diagnosis: Diagnosis
) -> None:
    """Check that pages of `origin` may send the header Last-Event-ID, which clients that use `fetch` send.

    `sent` lists further headers that such a client sends, for example Authorization.
    """
    wanted = ["last-event-id", *sent]
    headers = {
        "origin": origin,
        "access-control-request-method": "GET",
        "access-control-request-headers": ",".join(wanted),
    }
    # Do not check the body, because browsers ignore it.
    async with client.stream("OPTIONS", base_url + STREAM_PATH, headers=headers) as response:
        values = response.headers.get("access-control-allow-headers", "").lower().split(",")
    allowed = {value.strip() for value in values} if response.is_success else set()
    # The wildcard `*` does not allow the header Authorization (Fetch standard).
    refused = [name for name in wanted if name not in allowed and ("*" not in allowed or name == "authorization")]
    if refused:
        diagnosis.add(
            "cors",
            f"pages of {origin} may not send the headers {', '.join(refused)}: the preflight request was answered "
            f"{response.status_code}",
            change=f"tickwire serve --cors {origin}, and let the proxy forward OPTIONS requests",
        )
