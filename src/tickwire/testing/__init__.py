"""Shipped helpers for tests: real servers, and a clock whose hands a test holds."""

from tickwire.testing.clock import ManualClock
from tickwire.testing.server import RunningServer, ServerProcess, run_server

__all__ = ["ManualClock", "RunningServer", "ServerProcess", "run_server"]
