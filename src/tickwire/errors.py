"""The errors that Tickwire raises deliberately.

TickwireError
├── InputError                      a value from outside is invalid; nothing was changed
│   ├── FilterError                 an invalid filter, with the position of the mistake
│   ├── BatchRowError               one row of a file or of a published batch is invalid
│   ├── SettingsError               a flag, an environment variable or a configuration key is invalid
│   └── HttpError                   a request is wrong, and its HTTP status is not 400 (see server/http_errors.py)
├── ScreenLimitReached              the server has too many filters, and rejects a complex filter
├── FilterShareExceeded             the filters of one client exceed the limit for one client
├── JournalError                    the journal cannot execute a request
│   ├── JournalCorrupted            the file is damaged or is not a journal; the file was not changed
│   ├── JournalBusy                 another process has the journal open
│   ├── JournalUnreadable           a message in the journal's storage is not valid
│   ├── JournalPositionExpired      the journal no longer stores the requested events
│   ├── JournalEntryRejected        the journal never accepts this entry; do not retry
│   │   └── JournalEntryTooLarge    the entry exceeds the size limit of the journal
│   ├── JournalUnavailable          the journal cannot be reached for now; retry
│   └── JournalFenced               another process has become the only writer for this source of ticks
└── ClientError                     a client cannot reach the server, or the server rejects the request
    └── StreamEnded                 the server ended a stream, and a reconnect with the same token cannot succeed
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from unicodedata import combining, east_asian_width

from tickwire.redaction import redact_urls

# An error shows this many characters of the filter on either side of a mistake.
_CARET_CONTEXT_CHARS = 60
# A hint lists the valid names only if their number is at most this.
_MAX_LISTED_NAMES = 20


class TickwireError(Exception):
    """The base class of all errors that Tickwire raises. The message is one sentence that describes the correction.

    The URLs in the message contain no credentials, because errors appear in answers, logs and events.
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(redact_urls(message))


class InputError(TickwireError):
    """A value from a user or a client is invalid.

    `field` is the name of the parameter or key that has the invalid value. `hint` suggests a correction. A traceback
    also prints the hint.
    """

    def __init__(self, message: str, *, field: str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.field = field
        self.hint = hint
        if hint is not None:
            self.add_note(hint)


class FilterError(InputError):
    """A filter expression is invalid.

    `text` is the filter expression, or None until the caller sets `text`. `position` is the index in `text` of the
    first mistaken character, from 0.
    """

    def __init__(self, message: str, *, position: int, hint: str | None = None) -> None:
        super().__init__(message, field="filter", hint=hint)
        self.position = position
        self.text: str | None = None

    @property
    def caret(self) -> str:
        """Two lines that show the mistake: the filter around the mistake, and a caret below the mistaken character."""
        text, begin = self.text or "", max(0, self.position - _CARET_CONTEXT_CHARS)
        before = "".join(_printable(character) for character in text[begin : self.position])
        after = "".join(
            _printable(character) for character in text[self.position : self.position + _CARET_CONTEXT_CHARS]
        )
        return f"{before}{after}\n{' ' * sum(map(_terminal_width, before))}^"


class BatchRowError(InputError):
    """One row of a file, or one tick of a published batch, is invalid.

    For a published batch, `index` is the number of the tick, from 0. For a file, `line` is the number of the line, from
    1, and `column` is the name of the column.
    """

    def __init__(
        self,
        message: str,
        *,
        index: int | None = None,
        line: int | None = None,
        column: str | None = None,
        field: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, field=field, hint=hint)
        self.index = index
        self.line = line
        self.column = column


RowError = BatchRowError
"""The former name of BatchRowError, for programs that still import it."""


class SettingsError(InputError):
    """A setting is invalid. The message names the setting, the invalid value and the values that are allowed."""


class ScreenLimitReached(TickwireError):
    """The server rejects a complex filter, because the filters in use already need too much computing time per tick.

    The server still accepts simple filters, which add no computing time per tick.
    """


class FilterShareExceeded(TickwireError):
    """The server rejects a filter, because the client's filters already contain the maximum number of different
    parts."""


class JournalError(TickwireError):
    """The journal (the log that stores all events) cannot execute a request.

    If `is_public` is True, the message contains no path and no address of the server, so every client may read it.
    """

    def __init__(self, message: str, *, is_public: bool = False) -> None:
        super().__init__(message)
        self.is_public = is_public


class JournalCorrupted(JournalError):
    """The file of the journal is damaged or is not a journal. Tickwire has not changed the file."""


class JournalBusy(JournalError):
    """Another process has the file of the journal open. `owner` describes that process, such as "process 42"."""

    def __init__(self, message: str, *, owner: str = "another process") -> None:
        super().__init__(message)
        self.owner = owner


class JournalUnreadable(JournalError):
    """A message or record in the storage of the journal is not valid, so its events cannot be read."""


class JournalPositionExpired(JournalError):
    """The journal no longer stores the requested events, because retention removed them."""


class JournalUnavailable(JournalError):
    """The journal cannot be reached at the moment.

    If an append raises this error, it is unknown whether the journal has stored the events. The caller may repeat the
    append with the same key, because the journal stores events with the same key only once.
    """


class JournalEntryRejected(JournalError):
    """The journal rejects an entry that is invalid or too large. A retry would fail too, although the journal works."""


class JournalEntryTooLarge(JournalEntryRejected):
    """The entry is larger than the journal accepts."""


class JournalFenced(JournalError):
    """Another process has become the only writer for this source of ticks. The journal appended nothing."""


class ClientError(TickwireError):
    """A client cannot reach the server, or the server rejects the request.

    `status` is the HTTP status of the response, or None if the client received no response.
    """

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class StreamEnded(ClientError):
    """The server ended a stream, and a reconnect with the same token cannot succeed.

    `reason` is the reason in the last `bye` event, such as `expired`. The value is None if the stream received no
    `bye`.
    """

    def __init__(self, message: str, *, reason: str | None) -> None:
        super().__init__(message)
        self.reason = reason


def suggest_name(unknown_name: str, valid_names: Iterable[str]) -> str | None:
    """Return a hint for an unknown name, such as "did you mean symbols?".

    The hint contains the most similar valid name. If no valid name is similar, the hint lists all valid names. Return
    None if no name is similar and the list is too long.
    """
    names = list(valid_names)
    near = get_close_matches(unknown_name, names, 1)
    if near:
        return f"did you mean {near[0]}?"
    return f"known: {', '.join(names)}" if 0 < len(names) <= _MAX_LISTED_NAMES else None


def _printable(character: str) -> str:
    return character if character.isprintable() else " "


def _terminal_width(character: str) -> int:
    """Return the number of terminal columns that a character occupies."""
    return 0 if combining(character) else 2 if east_asian_width(character) in "WF" else 1
