"""The journal in one SQLite file, which one process at a time can open."""
