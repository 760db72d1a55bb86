"""`tickwire restore`: restore the backup of a journal."""

from __future__ import annotations

from pathlib import Path

import click

from tickwire.journal.sqlite.backup import restore as restore_backup


@click.command()
@click.argument("backup", type=click.Path(path_type=Path, dir_okay=False))
@click.argument("journal", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--replace",
    "replaces",
    is_flag=True,
    help="Rename the files of an existing journal. Without this option, the command fails if the journal exists.",
)
def restore(backup: Path, journal: Path, *, replaces: bool) -> None:
    """Restore the file BACKUP and its candles as the SQLite file JOURNAL. The server must not run.

    The next start begins a new epoch, so that no event id is used twice. Readers that reconnect receive a `gap` and the
    current state.

    Example: tickwire restore backup.journal .tickwire/simulator.journal
    """
    info = restore_backup(backup, journal, replaces=replaces)
    print(f"{journal}: events up to {info.head:,}; start the server")
