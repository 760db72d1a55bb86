"""Random parts of the files of a killed journal are overwritten: no event is lost silently.

After each fault, the server refuses the journal, the journal begins a new epoch, a read reports the damage, or all
events are unchanged.
"""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

from tickwire.clock import SystemClock
from tickwire.core.event import JournalRecord
from tickwire.errors import TickwireError
from tickwire.journal.base import Retention, Snapshot
from tickwire.journal.sqlite.head_file import find_head_files
from tickwire.journal.sqlite.journal import SQLiteJournal
from tickwire.testing.journal_contract import sample_entry
from tickwire.testing.marks import short_and_long

PAGE_BYTES = 4096
RECORDS_BEFORE_SNAPSHOT, RECORDS_AFTER_SNAPSHOT = 60, 40

Files = dict[Path, bytes]


async def open_journal(path: Path) -> SQLiteJournal:
    return await SQLiteJournal.open(path, Retention(), SystemClock())


async def write_killed_journal(path: Path) -> tuple[str, list[JournalRecord], Files, Files]:
    """Return the epoch and the events of a journal, and its files after a kill halfway and after a kill at the end."""
    journal = await open_journal(path)
    for number in range(RECORDS_BEFORE_SNAPSHOT):
        await journal.append(sample_entry(30, key=str(number)))
    await journal.save_snapshot(Snapshot(journal.head, b"snapshot" * 1000))
    await journal.close()
    journal = await open_journal(path)
    older = read_files(path)
    for number in range(RECORDS_AFTER_SNAPSHOT):
        await journal.append(sample_entry(30, key=f"later {number}"))
    newest, records = read_files(path), list(await journal.read(0, limit=10**6))
    epoch = journal.epoch
    await journal.close()
    return epoch, records, older, newest


def read_files(path: Path) -> Files:
    paths = (path, path.with_name(f"{path.name}-wal"), *find_head_files(path))
    return {each: each.read_bytes() for each in paths}


def write_files(path: Path, files: Files) -> None:
    """Restore the original content of the files. The journal file keeps its inode."""
    for each in path.parent.iterdir():
        if each != path:
            each.unlink()
    for each, content in files.items():
        each.write_bytes(content)


def overwrite_a_part(rng: random.Random, path: Path, older: Files, newest: Files) -> str:
    """Overwrite or cut off a part of one file. Return a description for the message of the test."""
    target = rng.choice([path, path.with_name(f"{path.name}-wal")])
    content = bytearray(newest[target])
    size = rng.choice([1, 100, PAGE_BYTES, 8 * PAGE_BYTES])
    offset = rng.randrange(len(content))
    if rng.random() < 0.5:
        offset -= offset % PAGE_BYTES
    kind = rng.choice(["random", "zero", "older", "cut"])
    end = min(len(content), offset + size)
    if kind == "cut":
        del content[offset:]
    else:
        old = older[target][offset:end].ljust(end - offset, b"\0")
        content[offset:end] = {"random": rng.randbytes(end - offset), "zero": bytes(end - offset), "older": old}[kind]
    target.write_bytes(content)
    return f"{kind} {target.name} {offset}..{end}"


async def outcome_of_opening(path: Path, epoch: str, records: list[JournalRecord]) -> str:
    try:
        journal = await open_journal(path)
    except TickwireError:
        return "refused"
    try:
        if journal.epoch != epoch:
            return "new epoch"
        read = list(await journal.read(0, limit=10**6))
    except TickwireError:
        return "unreadable"
    finally:
        await journal.close()
    return "intact" if read == records else "lost silently"


@short_and_long("rounds", 30, 1_000)
async def test_no_overwritten_part_loses_events_silently(tmp_path: Path, rounds: int) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng, path = random.Random(seed), tmp_path / "j"
    epoch, records, older, newest = await write_killed_journal(path)
    write_files(path, newest)
    assert await outcome_of_opening(path, epoch, records) == "intact"
    outcomes: Counter[str] = Counter()
    for _ in range(rounds):
        write_files(path, newest)
        fault = overwrite_a_part(rng, path, older, newest)
        outcome = await outcome_of_opening(path, epoch, records)
        assert outcome != "lost silently", fault
        outcomes[outcome] += 1
    print(dict(outcomes))
    assert len(outcomes) > 1
