"""Counts and times of the HTTP requests, by the template of the route."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from tickwire.core.histogram import Exemplar, Histogram, HistogramCounts
from tickwire.server.auth.rules import RULES, STREAM_METHODS, STREAM_PATH

_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY"))
_PATHS = frozenset(path for _, path in RULES)
_OTHER = "other"
# A dict that maps the HTTP status of the answer to a stream request to the outcome that the metrics count. For all
# other statuses, see `_connect_outcome`.
_CONNECT_OUTCOMES = {200: "opened", 204: "refused", 401: "denied", 403: "denied", 429: "limited", 503: "refused"}
CONNECT_OUTCOMES = ("opened", "denied", "limited", "invalid", "refused", "failed")


class RequestMetrics:
    """Counts each request once, at the start of its response.

    Requests are counted by route template, and a path without a template counts as the route `other`. So clients cannot
    create an unlimited number of time series in the metrics.
    """

    def __init__(self) -> None:
        self.connects = Counter(dict.fromkeys(CONNECT_OUTCOMES, 0))
        self._requests = Counter[tuple[str, str, int]]()
        self._times: dict[str, Histogram] = {}

    def record(  # noqa: PLR0917  # the facts of one request, each of its own type
        self, method: str, path: str, route: object, status: int, duration_ns: int, exemplar: Exemplar | None
    ) -> str:
        """Count a request whose response starts with `status`. Return the template of its route.

        `path` is the path below the mount of the application. `route` is the FastAPI route that answers, or None.
        `exemplar` names the trace of a sampled request.
        """
        template = _route_template(route, path)
        self._requests[method if method in _METHODS else _OTHER, template, status] += 1
        times = self._times.get(template)
        if times is None:
            times = self._times[template] = Histogram()
        times.observe(duration_ns)
        if exemplar is not None:
            times.add_exemplar(exemplar)
        if path == STREAM_PATH and method in STREAM_METHODS:
            self.connects[_connect_outcome(status)] += 1
        return template

    def request_counts(self) -> Mapping[tuple[str, str, str], int]:
        """Return the number of requests by method, route and status."""
        return {(method, route, str(status)): count for (method, route, status), count in self._requests.items()}

    def request_times(self) -> Mapping[str, HistogramCounts]:
        """For each route, return the times between the arrival of a request and the start of its response."""
        return {route: times.counts() for route, times in self._times.items()}


def _route_template(route: object, path: str) -> str:
    template: str | None = getattr(route, "path_format", None)
    return template or (path if path in _PATHS else _OTHER)


def _connect_outcome(status: int) -> str:
    return _CONNECT_OUTCOMES.get(status) or ("failed" if status >= 500 else "invalid")
