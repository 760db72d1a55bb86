"""Start the tracing of a server, as the setting `trace_ratio` and the variables OTEL_* describe."""

from __future__ import annotations

import os
from importlib.metadata import version
from typing import TYPE_CHECKING

from tickwire.errors import SettingsError

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource

    from tickwire.ops.tracing.tracing import Tracing


def open_tracing(ratio: float) -> Tracing | None:
    """Return the tracing of a server, or None if `ratio`, the sampled fraction of all traces, is 0.

    Raise SettingsError if OpenTelemetry is not installed, or if a variable OTEL_* is not valid.
    """
    if not ratio:
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
    except ImportError as error:
        raise SettingsError(
            f"--trace-ratio {ratio:g} needs OpenTelemetry ({error})",
            field="trace_ratio",
            hint="pip install 'tickwire[otel]'",
        ) from None

    from tickwire.ops.tracing.span_queue import SpanQueue
    from tickwire.ops.tracing.tracing import Tracing

    # If the sampler is None, the provider reads OTEL_TRACES_SAMPLER.
    sampler = None if "OTEL_TRACES_SAMPLER" in os.environ else ParentBased(TraceIdRatioBased(ratio))
    try:
        spans = SpanQueue(OTLPSpanExporter())
    except ValueError as error:
        raise SettingsError(f"an environment variable OTEL_* is not valid: {error}", field="trace_ratio") from None
    # Do not make this provider the global provider, because FastAPI would then create further spans for each request.
    provider = TracerProvider(sampler, _describe_process(), shutdown_on_exit=False)
    provider.add_span_processor(spans)
    return Tracing(provider.get_tracer("tickwire", version("tickwire")), spans)


def _describe_process() -> Resource:
    """Return the attributes of all spans. OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES override them."""
    from opentelemetry.sdk.resources import Resource

    defaults = {"service.name": "tickwire", "service.version": version("tickwire")}
    resource = Resource.create()
    # Name the service if no variable does, because the SDK would use a name such as `unknown_service:python`.
    configured = {
        name: value
        for name, value in resource.attributes.items()
        if not (name == "service.name" and str(value).startswith("unknown_service"))
    }
    return Resource({**defaults, **configured}, resource.schema_url)
