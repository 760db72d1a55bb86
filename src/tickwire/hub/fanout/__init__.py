"""Channels and readers, the routing of events to channels, and the rendering of events as frames.

A `Reader` is a connected client. `reader_state.py` lists the states of a reader. An `Encoder` compresses and frames the
bytes for a reader, and the reader then writes the bytes to a `Sink` (the send buffer of the connection). All readers
with equal subscriptions belong to one `Channel`. The router (`router.py`, `routing_table.py`, `screen_router.py`,
`candle_router.py`) finds the channels that receive an event. `rendered_events.py`, `state_frames.py` and
`open_candles.py` render events and state as frames (encoded events).
"""
