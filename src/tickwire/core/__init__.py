"""The shared types: ticks, quotes, candles, instruments, events, event ids, times, arrays and the JSON codec.

The package does no I/O and reads no clock.
"""
