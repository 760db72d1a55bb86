"""Quotes, derived fields, candles and trading sessions, computed from ticks.

The package does no I/O and reads no clock.
"""
