"""The background tasks of a server.

The tasks run the feed, apply events from the journal to the quotes and candles, publish events, and save snapshots.
"""
