"""The requests of the load tests. `load_worker.py` and `locustfile.py` send them.

The module needs only the standard library, because Locust may run in another Python environment.
"""

from __future__ import annotations

import json
import random
from typing import NamedTuple

SYMBOLS = tuple(f"L{number}" for number in range(200))
SYMBOLS_PER_READER = 2
_TICKS_PER_IMPORT = 20


class Request(NamedTuple):
    """One request of a scenario, and the status that the server must answer."""

    scenario: str
    method: str
    path: str
    expected: int
    body: bytes = b""
    key: str = ""


class Scenarios:
    """The requests of the three scenarios: normal reading, bulk import, and clients that repeat or send nonsense."""

    def __init__(self, rng: random.Random, *, publishes: bool) -> None:
        self._rng = rng
        self._publishes = publishes
        self._last_import: Request | None = None
        self._prefix = f"{rng.getrandbits(48):x}"
        self._count = 0

    def next_request(self) -> Request:
        """Return a random request.

        Of all requests, 97 % read and 1 % import. The other 2 % repeat an import or are not valid.
        """
        chance = self._rng.random()
        if chance < 0.01 and self._publishes:
            return self._next_import()
        if chance < 0.02 and self._last_import is not None:
            return self._last_import._replace(scenario="retry", expected=200)
        if chance < 0.03:
            return Request("retry", "GET", "/v1/quotes?no_such_parameter=1", 400)
        return self._next_read()

    def first_import(self) -> Request:
        """Return an import request that gives each symbol a quote."""
        return self._import([*SYMBOLS])

    def _next_import(self) -> Request:
        self._last_import = self._import(self._rng.sample(SYMBOLS, _TICKS_PER_IMPORT))
        return self._last_import

    def _import(self, symbols: list[str]) -> Request:
        self._count += 1
        ticks = [{"symbol": symbol, "last": self._rng.randint(1, 9_999) / 100} for symbol in symbols]
        key = f"load-{self._prefix}-{self._count}"
        return Request("import", "POST", "/v1/quotes", 201, json.dumps(ticks).encode(), key)

    def _next_read(self) -> Request:
        if not self._publishes:
            return Request("read", "GET", self._rng.choice(("/v1/quotes", "/v1/instruments")), 200)
        symbol = self._rng.choice(SYMBOLS)
        several = ",".join(self._rng.sample(SYMBOLS, 10))
        paths = (f"/v1/quotes/{symbol}", f"/v1/quotes?symbols={several}", f"/v1/candles/{symbol}?interval=1m&limit=10")
        return Request("read", "GET", self._rng.choice(paths), 200)


def sequence_of(event_id: str) -> int:
    """Return the sequence number in an event id, or 0 for the empty id."""
    return int(event_id.rpartition("-")[2] or 0)
