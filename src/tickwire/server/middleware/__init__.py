"""Checks, limits, headers and logs that apply to every request."""
