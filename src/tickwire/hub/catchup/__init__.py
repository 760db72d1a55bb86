"""Catch-up: sends the missing events to a reader that is behind the head (the newest applied event).

To change what a new, returning or slow reader receives, start with `catch_up.py`, which drives the catch-up of one
reader.

- `resume.py` decides the position at which a stream starts.
- `state_changes.py` finds the newest quotes after a position, for snapshots and for `delivery=latest`.
- `lossless_backlog.py` finds the statuses, messages and closed candles that a reader has yet to receive.
- `history_replayer.py` reads events from the journal that are older than the event window (`event_window.py`).
- `catchup_cache.py` and `replay_cache.py` store rendered events, so that readers at the same position share them.
"""
