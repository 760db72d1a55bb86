"""Every error Tickwire raises on purpose.

TickwireError
├── InputError            somebody outside sent something wrong; nothing was changed by it
│   ├── FilterError       a filter that is none, with the place where it stops being one
│   ├── RowError          one row of a file or of a published batch, named by its place
│   ├── SettingsError     a flag, variable or configuration key
│   └── HttpProblem       a request answered with another status than 400: in server/refusal.py, with its kinds
├── ScreensFull           no more screens of this kind are taken now
├── JournalError          the journal cannot do what was asked
│   ├── JournalDamaged    its file is not one, or is broken; the file is left as it was
│   ├── JournalBusy       another process has it open
│   ├── JournalExpired    it no longer holds what was asked for
│   ├── JournalAway       it cannot be reached now; it may be again soon
│   └── JournalFenced     another process speaks for this source now
└── ClientError           the client side: a server that cannot be reached, or refuses
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from unicodedata import combining, east_asian_width

_CARET_REACH = 60  # characters shown on either side of the place
_MOST_LISTED = 20  # names in a hint


class TickwireError(Exception):
    """The root of the tree; its text is one sentence fit for the person who can mend it."""


class InputError(TickwireError):
    """A value from outside is wrong. `field` names the parameter or key, `hint` says what would do."""

    def __init__(self, message: str, *, field: str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.field = field
        self.hint = hint


class FilterError(InputError):
    """A filter is wrong. `position` counts its characters from 0; `text` is the whole filter, where it is known."""

    def __init__(self, message: str, *, position: int, hint: str | None = None) -> None:
        super().__init__(message, field="filter", hint=hint)
        self.position = position
        self.text: str | None = None

    @property
    def caret(self) -> str:
        """Two lines: the filter around the place, and a caret below it."""
        text, begin = self.text or "", max(0, self.position - _CARET_REACH)
        before = "".join(_visible(character) for character in text[begin : self.position])
        after = "".join(_visible(character) for character in text[self.position : self.position + _CARET_REACH])
        return f"{before}{after}\n{' ' * sum(map(_width, before))}^"


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
        hint: str | None = None,
    ) -> None:
        super().__init__(message, field=field, hint=hint)
        self.index = index
        self.line = line
        self.column = column


class SettingsError(InputError):
    """A setting cannot be used: what it is, what was given, what is expected."""


class ScreensFull(TickwireError):
    """The index of screens takes no more of a kind that costs work with every tick; simpler filters still go."""


class JournalError(TickwireError):
    """The journal cannot do what was asked."""


class JournalDamaged(JournalError):
    """The journal's file is damaged or is not a journal. It was not changed."""


class JournalBusy(JournalError):
    """Another process has the journal open."""


class JournalExpired(JournalError):
    """What was asked for is older than what the journal still holds."""


class JournalAway(JournalError):
    """The journal cannot be reached now. What was being appended may or may not be kept: repeat it with its key."""


class JournalFenced(JournalError):
    """Another process has begun to speak for this source; nothing was appended."""


class ClientError(TickwireError):
    """A server cannot be reached, or refuses. `status` is the server's HTTP status, or None where no answer came."""

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The hint for a name that is not `known`: the one that looks like it, else all there are, if that can be read."""
    names = list(known)
    near = get_close_matches(name, names, 1)
    if near:
        return f"did you mean {near[0]}?"
    return f"known: {', '.join(names)}" if 0 < len(names) <= _MOST_LISTED else None


def _visible(character: str) -> str:
    return character if character.isprintable() else " "


def _width(character: str) -> int:
    """How many columns of a terminal a character takes."""
    return 0 if combining(character) else 2 if east_asian_width(character) in "WF" else 1
