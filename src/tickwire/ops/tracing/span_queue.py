"""The queue of ended spans, and the thread that sends them to the collector."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

SPAN_OUTCOMES = ("sent", "failed", "dropped")
"""The outcomes of a span: the collector accepted the span, the export failed, or a full queue dropped the span."""
# The maximum number of spans that are not sent yet. They occupy about 4 MB.
_MAX_QUEUED_SPANS = 2_048
# The maximum time to send the last spans when the server stops. After this time, the remaining spans are lost.
_CLOSE_TIMEOUT_S = 2.0

log = logging.getLogger(__name__)


class SpanQueue(BatchSpanProcessor):
    """Sends spans in batches with `exporter`, in its own thread.

    The event loop never waits, because a full queue drops new spans and counts them.
    """

    def __init__(self, exporter: SpanExporter) -> None:
        self._counting_exporter = _CountingExporter(exporter)
        self._queued = self._dropped = 0
        super().__init__(self._counting_exporter, max_queue_size=_MAX_QUEUED_SPANS)

    def on_end(self, span: ReadableSpan) -> None:
        """Queue a span that has ended. Call this method on the event loop only."""
        # The limit includes the spans that are being sent, so the queue of the base class never overflows.
        if self._queued - self._counting_exporter.handled_count >= _MAX_QUEUED_SPANS:
            self._dropped += 1
            return
        self._queued += 1
        super().on_end(span)

    def counts(self) -> Mapping[str, int]:
        """Return the number of spans by outcome."""
        exporter = self._counting_exporter
        return dict(zip(SPAN_OUTCOMES, (exporter.sent_count, exporter.failed_count, self._dropped), strict=True))

    def close(self) -> None:
        """Send the remaining spans, for at most _CLOSE_TIMEOUT_S seconds."""
        # `shutdown` of the base class waits for up to 30 s, so call it in another thread. The thread does not keep the
        # process alive.
        thread = threading.Thread(target=self.shutdown, name="tracing-close", daemon=True)
        thread.start()
        thread.join(_CLOSE_TIMEOUT_S)
        # If an export still waits for its next attempt, end this wait.
        self._counting_exporter.shutdown()


class _CountingExporter(SpanExporter):
    """Sends spans with another exporter, and counts them.

    The class logs only the beginning and the end of an outage instead of each failed attempt.
    """

    def __init__(self, exporter: SpanExporter) -> None:
        self.sent_count = self.failed_count = 0
        self._exporter = exporter
        self._is_closed = False
        self._is_failing = False
        # The exporter logs each attempt to the logger of its module, so filter this logger.
        self._exporter_log, self._attempts = logging.getLogger(type(exporter).__module__), _AttemptFilter()
        self._exporter_log.addFilter(self._attempts)

    @property
    def handled_count(self) -> int:
        """The number of spans that were sent or lost."""
        return self.sent_count + self.failed_count

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send some spans. This method runs in the thread of the `SpanQueue`."""
        self._attempts.begin_export()
        try:
            result = self._exporter.export(spans)
        except Exception as error:  # noqa: BLE001  # the thread's boundary: a broken exporter must not stop the thread
            self._attempts.text, result = f"{type(error).__name__}: {error}", SpanExportResult.FAILURE
        if result is SpanExportResult.SUCCESS:
            self.sent_count += len(spans)
            if self._is_failing:
                log.info("the collector accepts traces again")
        else:
            self.failed_count += len(spans)
            if not self._is_failing:
                log.warning(
                    "cannot send traces to the collector: %s; check OTEL_EXPORTER_OTLP_ENDPOINT",
                    self._attempts.text or "the exporter reported no reason",
                )
        self._is_failing = result is not SpanExportResult.SUCCESS
        return result

    def shutdown(self) -> None:
        """Close the exporter that sends the spans. A second call does nothing."""
        if not self._is_closed:
            self._is_closed = True
            self._exporter.shutdown()
            self._exporter_log.removeFilter(self._attempts)


class _AttemptFilter(logging.Filter):
    """Drops the log messages of one thread, and stores the first message of each export.

    The first message contains the reason of a failure. Messages of other threads pass the filter, because another
    application in the process may use the same kind of exporter.
    """

    def __init__(self) -> None:
        super().__init__()
        self.text = ""
        self._thread_id = 0

    def begin_export(self) -> None:
        """Forget the message of the previous export. From now on, filter the messages of the calling thread."""
        self.text, self._thread_id = "", threading.get_ident()

    def filter(self, record: logging.LogRecord) -> bool:
        """Return False for a log record of the thread of this filter, so that the logger drops the record."""
        # The log records do not contain their thread (see `running_log`). But this method runs in the thread that
        # created the record, so compare the current thread.
        if threading.get_ident() != self._thread_id:
            return True
        self.text = self.text or record.getMessage()
        return False
