"""The layout of the data in a journal: a change of the layout is a decision, not an accident.

If a test fails here, answer two questions. Can this code still read older journals? If not, raise FORMAT_VERSION and
OLDEST_FORMAT_VERSION in `journal/sqlite/file.py`. Can older code read new journals? If not, raise FORMAT_VERSION. Then
update the fingerprint.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from tickwire.core.candle import CANDLE_DTYPE
from tickwire.core.event import RecordKind
from tickwire.core.tick import TICK_DTYPE
from tickwire.errors import JournalError
from tickwire.journal.sqlite import file as sqlite_file
from tickwire.journal.sqlite.file import FORMAT_VERSION, check_file, create_file
from tickwire.journal.sqlite.rows import SCHEMA
from tickwire.market.board import Board
from tickwire.sessions.admin_events import AdminEvent
from tickwire.sessions.snapshot import HubSnapshot

FINGERPRINTS = {3: "03ad1a4b2e900c80"}


def field_layout(struct: type) -> list[tuple[str, str, bool]]:
    # A view and bytes have the same encoding.
    types = {memoryview: bytes}
    fields = msgspec.structs.fields(struct)
    return [(field.encode_name, str(types.get(field.type, field.type)), field.required) for field in fields]


def layout_fingerprint() -> str:
    """Return a hash of the tables, the packed rows, and the structures of snapshots and admin events."""
    layout = {
        "tables": SCHEMA,
        "ticks": str(TICK_DTYPE),
        "candles": str(CANDLE_DTYPE),
        "kinds": {kind.name: int(kind) for kind in RecordKind},
        "board": hashlib.sha256(Board().save()).hexdigest(),
        "structures": {each.__name__: field_layout(each) for each in (HubSnapshot, *get_args(AdminEvent))},
    }
    return hashlib.sha256(json.dumps(layout, sort_keys=True, default=str).encode()).hexdigest()[:16]


def test_the_layout_of_a_journal_changes_only_with_its_fingerprint() -> None:
    assert layout_fingerprint() == FINGERPRINTS[FORMAT_VERSION]


@pytest.mark.parametrize("format_version", [FORMAT_VERSION + 1, 1_000])
@pytest.mark.parametrize(("written_by", "writer"), [("9.1.0", "Tickwire 9.1.0"), (None, "another version of Tickwire")])
def test_unknown_format_is_one_line_that_names_the_writer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format_version: int, written_by: str | None, writer: str
) -> None:
    path = tmp_path / "j"
    create_file(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DELETE FROM meta WHERE name = 'written_by'")
        if written_by is not None:
            connection.execute("INSERT INTO meta VALUES ('written_by', ?)", (written_by,))
        connection.commit()
        connection.execute(f"PRAGMA user_version = {format_version}")
    content = path.read_bytes()
    with pytest.raises(JournalError) as caught:
        check_file(path)
    message = str(caught.value)
    assert f"{path} was written by {writer} in format {format_version}, but " in message
    assert "start the version that wrote the file, or move it away" in message
    assert "\n" not in message
    # A format that is too old causes the same error.
    monkeypatch.setattr(sqlite_file, "FORMAT_VERSION", 2_000)
    monkeypatch.setattr(sqlite_file, "OLDEST_FORMAT_VERSION", 1_001)
    with pytest.raises(JournalError, match="reads only the formats 1001 to 2000"):
        check_file(path)
    assert path.read_bytes() == content
