"""The outputs of `tickwire watch` for programs: one line for each quote. Connection states go to standard error."""

from __future__ import annotations

import csv
import sys
from typing import Protocol

import msgspec

from tickwire.client.events import Event
from tickwire.core.codec import decode_json
from tickwire.core.quote import QUOTE_FIELDS, Quote


class WatchOutput(Protocol):
    """A receiver of the events of `tickwire watch`."""

    def add_event(self, event: Event) -> None:
        """Show an event of the stream."""
        ...

    def add_notice(self, symbol: str, text: str) -> None:
        """Show a text about a symbol without a quote, or about all symbols if `symbol` is empty."""
        ...

    def show_state(self, state: str, reason: str) -> None:
        """Show a new state of the connection. `reason` may be empty."""
        ...


class JsonLines:
    """Prints one line of JSON for each quote."""

    def add_event(self, event: Event) -> None:
        if event.name == "quote":
            self.print_quote(event)
        elif event.name == "gap":
            self.add_notice("", f"the server could not send some events, and continues with the newest: {event.text}")

    def print_quote(self, event: Event) -> None:
        """Print one quote."""
        print(event.text, flush=True)

    def add_notice(self, symbol: str, text: str) -> None:
        del symbol
        print(text, file=sys.stderr)

    def show_state(self, state: str, reason: str) -> None:
        if reason:
            print(f"{state}: {reason}", file=sys.stderr)


class CsvLines(JsonLines):
    """Prints a line with the names of the fields, and one line of CSV for each quote. An unknown value is empty."""

    def __init__(self) -> None:
        self._writer = csv.writer(sys.stdout, lineterminator="\n")
        self._writer.writerow(QUOTE_FIELDS)
        sys.stdout.flush()

    def print_quote(self, event: Event) -> None:
        self._writer.writerow(msgspec.structs.astuple(decode_json(event.text, Quote)))
        sys.stdout.flush()
