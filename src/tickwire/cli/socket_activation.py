"""Socket activation: systemd opens the listening socket and passes it to the server, as sd_listen_fds(3) describes.

systemd keeps the socket open while the server restarts. The kernel then queues new connections instead of refusing
them, and the next server process accepts them.
"""

from __future__ import annotations

import os
import socket

from tickwire.errors import SettingsError
from tickwire.settings import Settings

# systemd passes sockets in consecutive file descriptors, beginning with this one.
FIRST_DESCRIPTOR = 3


def systemd_listener() -> socket.socket | None:
    """Return the listening socket that systemd passed to this process, or None.

    Remove the variables of systemd from the environment, so that child processes do not use the socket. Raise
    SettingsError if systemd passed several sockets, or a socket that is not a listening TCP socket.
    """
    pid, count, _ = (os.environ.pop(name, "") for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"))
    # If the process id differs, the variables were meant for a parent process, which passed its environment on to this
    # process.
    if pid != str(os.getpid()) or not count.isdigit() or count == "0":
        return None
    if count != "1":
        raise SettingsError(
            f"systemd passed {count} sockets: write one ListenStream= in the .socket unit", field="port"
        )
    listener = _listening_tcp_socket(FIRST_DESCRIPTOR)
    if listener is None:
        raise SettingsError(
            "the socket from systemd is not a listening TCP socket: write ListenStream=PORT in the .socket unit, "
            "without Accept=yes",
            field="port",
        )
    listener.setblocking(False)
    os.set_inheritable(listener.fileno(), False)
    return listener


def settings_for_listener(settings: Settings, listener: socket.socket) -> Settings:
    """Return the settings with the address of the inherited socket instead of --host and --port."""
    if settings.workers > 1:
        raise SettingsError(
            f"several processes (--workers {settings.workers}) cannot share the socket from systemd: remove --workers "
            "or the .socket unit",
            field="workers",
        )
    host, port = listener.getsockname()[:2]
    return settings.model_copy(update={"host": host, "port": port})


def _listening_tcp_socket(descriptor: int) -> socket.socket | None:
    try:
        candidate = socket.socket(fileno=descriptor)
    except OSError:
        return None
    is_listening = candidate.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    if is_listening and candidate.family in (socket.AF_INET, socket.AF_INET6):
        return candidate
    candidate.close()
    return None
