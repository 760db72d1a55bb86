"""Traces of requests and batches. Only this package imports OpenTelemetry.

`provider.py` creates a `Tracing` object. `provider.py` imports the SDK only if the server traces requests.
"""
