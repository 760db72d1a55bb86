"""Traces of requests and batches. Only this package imports OpenTelemetry.

`provider.py` creates a `Tracing` object, and imports the SDK of OpenTelemetry only if the server traces requests.
"""
