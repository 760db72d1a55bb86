"""Readers for recordings of ticks or bars in many layouts, and a writer for recordings of quotes."""
