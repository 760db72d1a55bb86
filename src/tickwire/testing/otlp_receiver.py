"""A collector of traces in the process of the test. The collector receives spans over OTLP/HTTP and stores them in
memory."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


class ReceivedSpan(NamedTuple):
    """A span. All ids are hexadecimal digits; the `parent_id` of a span without parent is empty."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    kind: int
    start_ns: int
    end_ns: int
    status: int
    attributes: dict[str, str | int | bool]
    # The trace id and the span id of each link.
    links: list[tuple[str, str]]
    # The attributes of the process, such as `service.name` and `service.instance.id`.
    resource: dict[str, str | int | bool]


class OtlpReceiver:
    """Receives spans at `endpoint`, the value of OTEL_EXPORTER_OTLP_ENDPOINT.

    The receiver answers with the HTTP status `status`.
    """

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self.status = 200
        self.spans: list[ReceivedSpan] = []
        self._may_answer = threading.Event()
        self._may_answer.set()

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Answer no requests until the `with` block ends."""
        self._may_answer.clear()
        try:
            yield
        finally:
            self._may_answer.set()

    def named(self, name: str) -> list[ReceivedSpan]:
        """Return the received spans with a name."""
        return [span for span in self.spans if span.name == name]

    def children(self, parent: ReceivedSpan) -> list[ReceivedSpan]:
        """Return the received children of a span."""
        return [span for span in self.spans if (span.trace_id, span.parent_id) == (parent.trace_id, parent.span_id)]

    def receive(self, path: str, body: bytes) -> int:
        """Store the spans in a request. Return the HTTP status of the answer."""
        self._may_answer.wait()
        if path != "/v1/traces":
            return 404
        if self.status == 200:
            self.spans.extend(_parse_spans(body))
        return self.status


@contextlib.contextmanager
def run_otlp_receiver() -> Iterator[OtlpReceiver]:
    """Run a receiver on a free port of the loopback interface until the `with` block ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            self.send_response(receiver.receive(self.path, body))
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        receiver = OtlpReceiver(f"http://127.0.0.1:{server.server_address[1]}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()


def _parse_spans(body: bytes) -> Iterator[ReceivedSpan]:
    request = ExportTraceServiceRequest.FromString(body)
    for process in request.resource_spans:
        resource = _parse_attributes(process.resource.attributes)
        for scope in process.scope_spans:
            for span in scope.spans:
                yield ReceivedSpan(
                    span.name,
                    span.trace_id.hex(),
                    span.span_id.hex(),
                    span.parent_span_id.hex(),
                    span.kind,
                    span.start_time_unix_nano,
                    span.end_time_unix_nano,
                    span.status.code,
                    _parse_attributes(span.attributes),
                    [(link.trace_id.hex(), link.span_id.hex()) for link in span.links],
                    resource,
                )


def _parse_attributes(pairs: object) -> dict[str, str | int | bool]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}  # type: ignore[attr-defined]
