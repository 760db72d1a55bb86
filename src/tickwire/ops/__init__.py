"""Measurements of one server: readiness, rates, latencies and memory.

`metrics.py` renders the measurements in the Prometheus text format.
"""
