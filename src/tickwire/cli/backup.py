"""`tickwire backup`: copy the journal of a running server."""

from __future__ import annotations

from pathlib import Path

import click

from tickwire.journal.sqlite.backup import back_up


@click.command()
@click.argument("journal", type=click.Path(path_type=Path, dir_okay=False))
@click.argument("target", type=click.Path(path_type=Path, dir_okay=False))
def backup(journal: Path, target: Path) -> None:
    """Copy the SQLite file JOURNAL and its candles to the new file TARGET, while the server runs.

    Example: tickwire backup .tickwire/simulator.journal backup.journal
    """
    info = back_up(journal, target)
    print(f"{target}: events up to {info.head:,}, {info.size_bytes / 1e6:,.1f} MB, checked")
