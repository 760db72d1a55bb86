"""The options for opening a journal. Each backend reads only its own options."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

from tickwire.journal.base import Retention
from tickwire.journal.codecs.registry import CodecName

SynchronousMode = Literal["OFF", "NORMAL", "FULL"]


class JournalOptions(NamedTuple):
    """The options for opening a journal. All options have defaults."""

    retention: Retention = Retention()

    # Only an SQLite journal uses this option.
    synchronous: SynchronousMode = "NORMAL"

    # Only shared journals use these options.
    replicas: int = 1
    """The number of servers that store the journal."""
    is_leader_candidate: bool = True
    """Whether this process may run the feed."""
    codec: CodecName = "packed"
    """The encoding of the commits that this process writes. The process reads all encodings."""

    report_waiting: Callable[[str], None] = lambda _reason: None
    """A function that is called whenever the start of this process waits for the journal's server.

    The argument is the reason.
    """

    # Only a journal on NATS uses these options.
    nats_journal_name: str = "tickwire"
    """The name of the journal if its URL contains no name."""
    nats_creds_file: str = ""
    nats_ca_file: str = ""
    """A CA bundle in PEM format."""
