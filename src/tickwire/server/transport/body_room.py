"""The memory of request bodies that have not arrived completely."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tickwire.server.http_errors import QuotaExceeded, ServerFull
from tickwire.sessions.quota import Quota

MAX_UNFINISHED_BYTES = 256 * 1024 * 1024
"""The maximum size of all incomplete bodies together."""
MAX_UNFINISHED_BYTES_PER_BEARER = 64 * 1024 * 1024
"""The maximum size of the incomplete bodies of one client."""
UPLOAD_BYTES = 1024 * 1024
"""The number of bytes that the server counts for each upload.

The number does not depend on the length of the upload's body.

An upload occupies memory for only one part of its body, for the lines of this part, and for the ticks of one batch.
"""


class BodyRoom:
    """Counts the received bytes of incomplete request bodies, in total and by bearer (see `Rights.bearer`).

    Without the limits, a client could occupy much memory with many requests, by sending the last byte of each body only
    after a minute. The length of an upload is unlimited, so each upload counts as a fixed number of bytes.
    """

    def __init__(self) -> None:
        self._quota = Quota()

    def reserve(self, bearer: str | None, size: int) -> None:
        """Count `size` more bytes. If the new total would exceed a limit, raise QuotaExceeded or ServerFull."""
        exceeded = self._quota.exceeded_limit(
            {bearer: size}, max_total=MAX_UNFINISHED_BYTES, max_per_user=MAX_UNFINISHED_BYTES_PER_BEARER
        )
        if exceeded == "user":
            limit = f"{MAX_UNFINISHED_BYTES_PER_BEARER:,}"
            raise QuotaExceeded(f"your requests in progress have more than {limit} bytes: send fewer at the same time")
        if exceeded == "server":
            raise ServerFull("the server receives too many large requests at the moment: retry later")
        self._quota.add(bearer, size)

    @contextmanager
    def reserved(self, bearer: str | None, size: int) -> Iterator[None]:
        """Reserve `size` bytes for the duration of the `with` block; see `reserve`."""
        self.reserve(bearer, size)
        try:
            yield
        finally:
            self.release(bearer, size)

    def release(self, bearer: str | None, size: int) -> None:
        """Subtract `size` bytes that `reserve` has counted."""
        self._quota.add(bearer, -size)
