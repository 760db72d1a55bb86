"""Records whether this process runs the feed."""

from __future__ import annotations

from tickwire.core.event import JournalEntry


class Leadership:
    """Whether this process runs the feed (the source of ticks), and the term of its leadership.

    In a cluster, the process that runs the feed is the leader. Each new leader claims a term (a number) in the journal.
    The journal rejects entries of older terms, so at most one process appends ticks of the feed. Without a cluster, the
    only process always runs the feed, and it needs no term.
    """

    def __init__(self, feed_name: str, *, is_shared: bool) -> None:
        self.is_shared = is_shared
        self.runs_feed = not is_shared
        self.term: int | None = None
        self._feed_name = feed_name

    def begin(self, term: int) -> None:
        """Record that this process runs the feed under `term`, which the process has claimed in the journal."""
        self.term = term
        self.runs_feed = True

    def end(self) -> None:
        """Record that this process no longer runs the feed. Without a cluster, do nothing."""
        self.runs_feed = not self.is_shared

    def sign(self, entry: JournalEntry) -> JournalEntry:
        """Return a copy of `entry` whose source is the feed and whose term is the current term."""
        return entry._replace(source=self._feed_name, term=self.term)
