"""The sockets on which a server accepts connections.

The supervisor of several worker processes opens one listening socket for each worker. The worker inherits the socket.
If a new process replaces a worker, the new process inherits the socket of the old process. The socket therefore stays
open during the replacement, and no connection that the kernel has accepted is lost.
"""

from __future__ import annotations

import errno
import os
import socket

from tickwire.errors import SettingsError

LISTENER_FD_VARIABLE = "TICKWIRE_LISTEN_FD"
"""The environment variable with the descriptor of the listening socket that a worker inherits."""
_LISTEN_BACKLOG = 2048


def inherited_listener() -> socket.socket | None:
    """Return the listening socket from the supervisor, or None if this process has inherited no socket.

    Remove the environment variable that contains the socket's number, so that child processes do not receive it.
    """
    text = os.environ.pop(LISTENER_FD_VARIABLE, "")
    if not text.isdigit():
        return None
    listener = socket.socket(fileno=int(text))
    os.set_inheritable(listener.fileno(), False)
    return _listen(listener)


def open_listener(host: str, port: int, *, shared: bool = False) -> socket.socket:
    """Return a listening socket. Raise SettingsError if the address is not available."""
    return _listen(bind_socket(host, port, shared=shared))


def bind_socket(host: str, port: int, *, shared: bool) -> socket.socket:
    """Return a bound socket. If `shared` is True, other processes may bind the same address."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol or socket.IPPROTO_TCP)
    except OSError as error:
        raise SettingsError(
            f"cannot listen on {host}: {error.strerror}: choose an address of this machine with --host", field="host"
        ) from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind(address)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            message = (
                f"port {port} on {host} is in use by another program: choose a free port with --port, or "
                "add --port 0 to let the system choose"
            )
            raise SettingsError(message, field="port") from None
        raise SettingsError(f"cannot listen on {host}:{port}: {error.strerror}", field="port") from None
    return listener


def _listen(listener: socket.socket) -> socket.socket:
    listener.listen(_LISTEN_BACKLOG)
    listener.setblocking(False)
    return listener
