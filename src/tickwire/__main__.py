"""Run the command `tickwire` with `python -m tickwire`."""

from __future__ import annotations

import os
import signal
import sys

# The kernel ignores a signal to the first process of a container unless the process handles the signal. Without this
# handler, a signal during the imports below would not stop the process.
if os.getpid() == 1:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))

from tickwire.cli.root import root
from tickwire.cli.standard_streams import open_standard_descriptors


def main() -> None:
    """Run the command line."""
    open_standard_descriptors()
    root(prog_name="tickwire")


if __name__ == "__main__":
    main()
