"""Parses the reply subject of a message that a JetStream consumer has delivered.

The reply subject contains the number of the message and the progress of the JetStream consumer.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from tickwire.errors import JournalUnavailable

# The subject is $JS.ACK.STREAM.CONSUMER.DELIVERIES.NUMBER.DELIVERY.TIME.PENDING. Newer servers insert the domain and a
# hash of the account before the stream, and may append a token.
_REPLY_PATTERN = re.compile(
    r"\$JS\.ACK\.(?:[^.]+\.[^.]+\.)?[^.]+\.[^.]+\.\d+\."
    r"(?P<number>\d{1,18})\.(?P<delivery>\d{1,18})\.\d+\.(?P<pending>\d{1,18})(?:\.[^.]+)?",
    re.ASCII,
)
_FLOW_CONTROL_PREFIX = "$JS.FC."


class Delivery(NamedTuple):
    """The numbers of a delivered message.

    `number` is the number of the message in the stream. `delivery` is the number of messages that the JetStream
    consumer has delivered, including this message. `pending` is the number of messages that the JetStream consumer has
    yet to deliver.
    """

    number: int
    delivery: int
    pending: int


def parse_delivery(reply: str) -> Delivery:
    """Return the numbers in a reply subject. Raise JournalUnavailable if JetStream did not send the message."""
    match = _REPLY_PATTERN.fullmatch(reply)
    if match is None:
        raise JournalUnavailable(f"received a message that JetStream did not send: its reply subject is {reply[:80]!r}")
    return Delivery(int(match["number"]), int(match["delivery"]), int(match["pending"]))


def is_flow_control(subject: str) -> bool:
    """Return True if JetStream's flow control expects an answer on `subject`.

    The caller must not answer any other message. A client that can publish to the inbox of this process chooses the
    reply subject of its message. If this process answered, the client could publish to every subject to which this
    process has access.
    """
    return subject.startswith(_FLOW_CONTROL_PREFIX)
