"""Tickwire: a self-hosted market-data push server."""
