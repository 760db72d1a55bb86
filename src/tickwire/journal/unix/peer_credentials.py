"""Checks the user of the process at the other end of a Unix socket."""

from __future__ import annotations

import os
import socket
import struct

# The layout of `struct ucred` on Linux: process id, user id, group id.
_UCRED_FORMAT = "iII"


def has_own_user(connection: socket.socket) -> bool:
    """Return True if the process at the other end belongs to the user of this process, or to root.

    On a system without SO_PEERCRED, return True: there, only the mode of the socket's file protects the journal.
    """
    if not hasattr(socket, "SO_PEERCRED"):
        return True
    data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize(_UCRED_FORMAT))
    _, user, _ = struct.unpack(_UCRED_FORMAT, data)
    return user in (os.getuid(), 0)
