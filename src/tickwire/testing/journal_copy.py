"""Copy the files of a journal while a server writes to it."""

from __future__ import annotations

import shutil
from pathlib import Path


def copy_journal_folder(source: Path, target: Path, ignored: str = "") -> Path:
    """Copy the folder `source` to the new folder `target`. Return `target`.

    `ignored` is a pattern of the names of files that are not copied. A server that writes to the journal sometimes
    renames a file. If a file disappears during the copy, the copy begins again.
    """
    while True:
        names = {each.name for each in source.iterdir()}
        try:
            shutil.copytree(source, target, ignore=shutil.ignore_patterns(ignored))
        except shutil.Error:
            if names == {each.name for each in source.iterdir()}:
                raise
        else:
            return target
        shutil.rmtree(target)
