"""A journal that one process owns, and that other processes of the same machine follow over a Unix socket."""
