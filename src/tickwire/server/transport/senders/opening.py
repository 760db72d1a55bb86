"""Open the sender that the setting `sender` selects."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from typing import Literal, TypeAlias

from tickwire.errors import InputError
from tickwire.hub.fanout.sender import Sender, TransportSender
from tickwire.server.transport.senders.batch_sender import BatchSender
from tickwire.server.transport.senders.native_call import NativeCall
from tickwire.server.transport.senders.native_chunks import open_chunk_builder
from tickwire.server.transport.senders.send_call import SendCall, SendCallUnavailable, check_send_call
from tickwire.server.transport.senders.uring_call import UringCall

log = logging.getLogger(__name__)

SenderKind: TypeAlias = Literal["auto", "uring", "native", "transport"]

# The send calls that the sender `auto` tries, in this order.
SEND_CALLS: dict[str, Callable[[], SendCall]] = {"uring": UringCall, "native": NativeCall}


def open_sender(kind: SenderKind) -> Sender:
    """Return the sender for the setting `sender`. Call this function on the thread of the event loop.

    For `auto`, return the fastest sender that works in this process. For any other value, raise InputError if this
    sender does not work.
    """
    if kind == "transport":
        return TransportSender()
    if kind != "auto":
        try:
            return BatchSender(_open_call(kind), open_chunk_builder())
        except SendCallUnavailable as error:
            raise InputError(
                f"--sender {kind} does not work: {error}; --sender auto uses the fastest sender that works",
                field="sender",
            ) from error
    for name in SEND_CALLS:
        try:
            return BatchSender(_open_call(name), open_chunk_builder())
        except SendCallUnavailable as error:
            log.info("the sender %s does not work: %s", name, error)
    return TransportSender()


def _open_call(name: str) -> SendCall:
    if sys.implementation.name != "cpython":
        raise SendCallUnavailable("this Python is not CPython")
    call = SEND_CALLS[name]()
    try:
        check_send_call(call)
    except SendCallUnavailable:
        call.close()
        raise
    return call
