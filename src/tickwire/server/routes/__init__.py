"""The HTTP endpoints. Each module contains one group of routes."""
