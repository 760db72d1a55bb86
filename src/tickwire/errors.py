"""Every error Tickwire raises on purpose.

TickwireError
├── InputError            somebody outside sent something wrong; nothing was changed by it
│   ├── RowError          one row of a file or of a published batch, named by its place
│   └── SettingsError     a flag, variable or configuration key
├── JournalError          the journal cannot do what was asked
│   ├── JournalDamaged    its file is not one, or is broken; the file is left as it was
│   └── JournalBusy       another process has it open
└── ClientError           the client side: a server that cannot be reached, or refuses
"""

from __future__ import annotations


class TickwireError(Exception):
    """The root of the tree; its text is one sentence fit for the person who can mend it."""


class InputError(TickwireError):
    """A value from outside is wrong. `field` names the parameter or key, `hint` says what would do."""

    def __init__(self, message: str, *, field: str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.field = field
        self.hint = hint


class RowError(InputError):
    """One row of many is wrong. `index` counts rows of a batch from 0; `line` and `column` count from 1 in a file."""

    def __init__(
        self,
        message: str,
        *,
        index: int | None = None,
        line: int | None = None,
        column: str | None = None,
        field: str | None = None,
    ) -> None:
        super().__init__(message, field=field)
        self.index = index
        self.line = line
        self.column = column


class SettingsError(InputError):
    """A setting cannot be used: what it is, what was given, what is expected."""


class JournalError(TickwireError):
    """The journal cannot do what was asked."""


class JournalDamaged(JournalError):
    """The journal's file is damaged or is not a journal. It was not changed."""


class JournalBusy(JournalError):
    """Another process has the journal open."""


class ClientError(TickwireError):
    """A server cannot be reached, or refuses. `status` is the server's HTTP status, or None where no answer came."""

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status
