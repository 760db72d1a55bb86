"""The spans of a server: one for each sampled request, for each append, and for each delivery of a batch to readers.

A trace follows a batch from the request that publishes it, through the journal, to the readers of every process:

    POST /v1/quotes                 the request
      journal append                until the batch is durable
        deliver                     once in each process that follows the journal
          apply, dispatch, flush    the stages that `tickwire_stage_seconds` measures

A delivery may contain batches of several traces. The span of the delivery is a child of the first trace, and has links
to the other traces.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import ContextVar

from opentelemetry.context import Context
from opentelemetry.trace import (
    Link,
    Span,
    SpanKind,
    Status,
    StatusCode,
    Tracer,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from tickwire.core.event import JournalEntry, JournalRecord, SequenceRange
from tickwire.hub.hub import FlushTimes
from tickwire.ops.log_format import trace_id
from tickwire.ops.tracing.span_queue import SpanQueue

_PROPAGATOR = TraceContextTextMapPropagator()

Append = Callable[[JournalEntry], Awaitable[SequenceRange]]


class RequestSpan:
    """The span of one HTTP request.

    If the request is not sampled, its appends are not sampled either, and `trace_id` is None. Otherwise, `trace_id` has
    hexadecimal digits. A stream keeps this object until the stream ends. To save memory, the object keeps only the
    trace id after the span has ended.
    """

    __slots__ = ("_span", "trace_id")

    def __init__(self, span: Span) -> None:
        span_context = span.get_span_context()
        self._span: Span | None = span
        self.trace_id = f"{span_context.trace_id:032x}" if span_context.trace_flags.sampled else None

    @property
    def context(self) -> Context | None:
        """The parent of the spans that the request causes; None if the request has ended."""
        return None if self._span is None else set_span_in_context(self._span, Context())

    def activate(self) -> None:
        """Make this span the parent of the present task's appends, and add the trace id to the task's log lines."""
        _current_request.set(self)
        trace_id.set(self.trace_id)

    @staticmethod
    def deactivate() -> None:
        """Detach the present task from this request."""
        _current_request.set(None)
        trace_id.set(None)

    def describe(self, method: str, route: str, status: int, request_id: str) -> None:
        """Set the name of the span to the route, and add the status of the response."""
        if self.trace_id is None or self._span is None:
            return
        self._span.update_name(f"{method} {route}")
        self._span.set_attributes(
            {
                "http.request.method": method,
                "http.route": route,
                "http.response.status_code": status,
                "tickwire.request_id": request_id,
            }
        )
        if status >= 500:
            self._span.set_status(Status(StatusCode.ERROR))

    def end(self) -> None:
        """End the span. A second call does nothing."""
        span, self._span = self._span, None
        if span is not None:
            span.end()


_current_request: ContextVar[RequestSpan | None] = ContextVar("current_request", default=None)


class Tracing:
    """Creates the spans of one server. All spans end on the event loop, and `spans` sends them in its own thread."""

    def __init__(self, tracer: Tracer, spans: SpanQueue) -> None:
        self._tracer = tracer
        self._spans = spans

    def start_request(self, method: str, headers: Mapping[str, str]) -> RequestSpan:
        """Start the span of a request. `headers` may contain `traceparent` and `tracestate` of the client."""
        parent = _PROPAGATOR.extract(headers, Context()) if headers else Context()
        return RequestSpan(self._tracer.start_span(method, parent, SpanKind.SERVER))

    async def trace_append(self, entry: JournalEntry, append: Append) -> SequenceRange:
        """Append an entry to the journal with `append`. If the append is sampled, add its trace context to the entry.

        An append outside of requests begins a new trace. An example is the append of a batch from the feed.
        """
        request = _current_request.get()
        # The request may already have ended, because a background task may outlive the request that started it. The
        # appends of this task then belong to no request.
        parent = None if request is None else request.context
        if parent is None:
            parent = Context()
        elif request is not None and request.trace_id is None:
            return await append(entry)
        span = self._tracer.start_span("journal append", parent, SpanKind.PRODUCER)
        if not span.is_recording():
            return await append(entry)
        try:
            appended = await append(entry._replace(traceparents=(_format_traceparent(span),)))
            span.set_attributes(
                {
                    "tickwire.first": appended.first,
                    "tickwire.last": appended.last,
                    "tickwire.repeated": not appended.is_new,
                }
            )
            return appended
        except BaseException as error:
            span.set_status(Status(StatusCode.ERROR, type(error).__name__))
            raise
        finally:
            span.end()

    def record_delivery(self, records: Sequence[JournalRecord], times: FlushTimes) -> None:
        """Create the spans of a delivery that has just ended, if one of its records is sampled."""
        traceparents = [text for record in records for text in record.traceparents]
        if not traceparents:
            return
        parent, *others = [_PROPAGATOR.extract({"traceparent": text}, Context()) for text in traceparents]
        stages = {"apply": times.apply_ns, "dispatch": times.dispatch_ns, "flush": times.flush_ns}
        end_ns = time.time_ns()
        start_ns = end_ns - sum(stages.values())
        delivery = self._tracer.start_span(
            "deliver",
            parent,
            SpanKind.CONSUMER,
            attributes={"tickwire.first": records[0].first, "tickwire.last": records[-1].last},
            links=[Link(get_current_span(other).get_span_context()) for other in others],
            start_time=start_ns,
        )
        context = set_span_in_context(delivery, Context())
        for stage, duration_ns in stages.items():
            span = self._tracer.start_span(stage, context, start_time=start_ns)
            start_ns += duration_ns
            span.end(start_ns)
        delivery.end(end_ns)

    def span_counts(self) -> Mapping[str, int]:
        """Return the number of ended spans by outcome."""
        return self._spans.counts()

    def close(self) -> None:
        """Send the remaining spans. The call blocks for a limited time."""
        self._spans.close()


def _format_traceparent(span: Span) -> str:
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier, set_span_in_context(span, Context()))
    return carrier["traceparent"]
