"""Finds, for each tick, the screens that the tick's symbol matches, enters and leaves. The code does no I/O."""
