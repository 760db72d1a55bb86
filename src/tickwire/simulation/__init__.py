"""A simulated market: its model, price process, quotes, trading hours, halts and scenarios.

The package does no I/O and reads no clock.
"""
