"""The head file, which proves that a journal file contains the newest events of the journal.

A journal file can return to an earlier state, for example if a person restores a backup, or if another program
overwrites a part of the file. The next events would then have the ids of the lost events, under the same epoch (see
`Journal.epoch`). A returning reader would miss events without noticing. The writer therefore stores the number of the
newest event in a second file, after each commit. When Tickwire opens a journal, it compares both files. If the head
file does not prove that the journal file is complete, the journal begins a new epoch (see `find_discontinuity`). An
unnecessary new epoch loses no event, but readers must assume that events are missing. The name of the head file ends
with a random suffix, which changes while events arrive. If a person copies a backup of the whole folder over the
present folder, the folder contains two head files. The journal then trusts neither of them.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from tickwire.private_files import revoke_access_of_others

_SUFFIX_BYTES = 4
_SUFFIX_PATTERN = re.compile(f"[0-9a-f]{{{2 * _SUFFIX_BYTES}}}")
# All fields have a fixed width, so that each write overwrites the whole previous content.
_CONTENT_FORMAT = "{epoch:<16} {inode:020d} {generation:010d} {head:020d}\n"
# A sentinel in place of an epoch. It is not a valid epoch, because epochs contain no minus signs.
_INVALID_EPOCH = "-"
# The request FS_IOC_GETVERSION of Linux (linux/fs.h), and the type of its result.
_GET_GENERATION, _GENERATION_FORMAT = 0x80087601, "=I4x"


class FileIdentity(NamedTuple):
    """The inode number of a file, and the generation of the inode.

    File systems such as ext4 reuse the inode number of a deleted file for a new file, with another generation. The
    generation is 0 if the file system has no generations.
    """

    inode: int
    generation: int


class _Content(NamedTuple):
    epoch: str
    # The identity of the journal file.
    identity: FileIdentity
    head: int


class HeadFile:
    """The head file of a journal. The process that writes the journal keeps this file open."""

    def __init__(self, path: Path, journal_descriptor: int, epoch: str, head: int) -> None:
        """Replace the head files of the journal at `path`. `journal_descriptor` is a descriptor of the journal file."""
        self._journal_path = path
        self._epoch = epoch
        self._identity = _read_identity(journal_descriptor)
        self._head = self._renamed_head = head
        old = find_head_files(path)
        self._path = _new_path(path)
        if len(old) == 1:
            # Rename the file instead of creating a new one, so that exactly one head file exists even if the process is
            # killed now.
            old[0].rename(self._path)
            revoke_access_of_others(self._path)
        else:
            _remove_files(old)
        self._descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self.write(head)
        # Sync the file and its folder, so that the file exists after a power cut. The later writes are not synced. So
        # after a power cut, the file may contain the number of an older event. `find_discontinuity` accepts this.
        for descriptor in (self._descriptor, folder := os.open(path.parent, os.O_RDONLY)):
            os.fsync(descriptor)
        os.close(folder)

    def write(self, head: int) -> None:
        """Store the number of the newest event."""
        self._head = head
        self._write_content(self._epoch)

    def invalidate(self) -> None:
        """Make the journal begin a new epoch when it is opened again."""
        self._write_content(_INVALID_EPOCH)

    def rename_after_change(self) -> None:
        """Change the random suffix of the file name if the newest event has changed since the last call."""
        if self._renamed_head != self._head:
            self._renamed_head = self._head
            new_path = _new_path(self._journal_path)
            self._path.rename(new_path)
            self._path = new_path

    def close(self) -> None:
        os.close(self._descriptor)

    def _write_content(self, epoch: str) -> None:
        inode, generation = self._identity
        content = _CONTENT_FORMAT.format(epoch=epoch, inode=inode, generation=generation, head=self._head)
        os.pwrite(self._descriptor, content.encode(), 0)


def find_discontinuity(path: Path, journal_descriptor: int, epoch: str, head: int) -> str | None:
    """Return the reason why the journal file at `path` may lack events.

    Return None if the head file proves that the journal file contains all events.

    `epoch` and `head` are the epoch and the number of the newest event in the journal file.
    """
    files = find_head_files(path)
    if len(files) != 1:
        return "the head file is missing" if not files else f"the journal has {len(files)} head files"
    content = _read_content(files[0])
    if content is None or content.epoch != epoch or content.identity != _read_identity(journal_descriptor):
        return "the head file belongs to another journal file"
    if content.head > head:
        return f"the events {head + 1} to {content.head} are missing"
    return None


def find_head_files(path: Path) -> list[Path]:
    """Return the head files of the journal at `path`."""
    prefix = f"{path.name}-head-"
    with contextlib.suppress(OSError):
        return [
            each
            for each in path.parent.iterdir()
            if each.name.startswith(prefix) and _SUFFIX_PATTERN.fullmatch(each.name.removeprefix(prefix))
        ]
    return []


def _remove_files(paths: Iterable[Path]) -> None:
    """Remove files. Ignore files that do not exist."""
    for path in paths:
        path.unlink(missing_ok=True)


def _new_path(path: Path) -> Path:
    return path.with_name(f"{path.name}-head-{secrets.token_hex(_SUFFIX_BYTES)}")


def _read_content(path: Path) -> _Content | None:
    with contextlib.suppress(OSError, ValueError):
        epoch, inode, generation, head = path.read_text("ascii").split()
        return _Content(epoch, FileIdentity(int(inode), int(generation)), int(head))
    return None


def _read_identity(descriptor: int) -> FileIdentity:
    generation = 0
    # Ignore the error: some file systems, such as tmpfs, have no generations, but they do not reuse inode numbers
    # either.
    with contextlib.suppress(OSError):
        result = fcntl.ioctl(descriptor, _GET_GENERATION, bytes(struct.calcsize(_GENERATION_FORMAT)))
        (generation,) = struct.unpack(_GENERATION_FORMAT, result)
    return FileIdentity(os.fstat(descriptor).st_ino, generation)
