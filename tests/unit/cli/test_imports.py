"""The modules that commands import."""

from __future__ import annotations

import subprocess
import sys

IMPORT_CLIENT_COMMANDS = """
import sys
import tickwire.cli.doctor, tickwire.cli.record, tickwire.cli.simulator, tickwire.cli.status, tickwire.cli.watch
sys.exit("tickwire.settings" in sys.modules)
"""


def test_client_commands_do_not_import_the_settings() -> None:
    """The settings import the feeds and most of the server, which triples the time of `tickwire status`."""
    assert subprocess.run([sys.executable, "-c", IMPORT_CLIENT_COMMANDS], check=False).returncode == 0
