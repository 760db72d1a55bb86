"""Test helpers: real servers and readers, a manual clock, a faulty network, and test suites for journals and feeds."""

from tickwire.testing.clock import ManualClock
from tickwire.testing.market import RunningMarket
from tickwire.testing.server import RunningServer, ServerProcess, run_server
from tickwire.testing.waiting import wait_until

__all__ = ["ManualClock", "RunningMarket", "RunningServer", "ServerProcess", "run_server", "wait_until"]
