"""The files of the audit log: rotated by size, bounded in number, private."""

from __future__ import annotations

import json
import resource
import threading
from pathlib import Path

import pytest

from tickwire.server.middleware.audit import AuditLog


def write_lines(path: Path, numbers: range, *, max_bytes: int, max_files: int) -> None:
    log = AuditLog(path, max_bytes, max_files)
    for number in numbers:
        log.append({"number": number})
    log.close()
    assert log.dropped == 0


def read_numbers(*paths: Path) -> list[int]:
    return [json.loads(line)["number"] for path in paths for line in path.read_text().splitlines()]


@pytest.mark.parametrize("max_files", [1, 2, 5])
def test_the_newest_lines_are_kept_in_a_bounded_number_of_bounded_files(tmp_path: Path, max_files: int) -> None:
    path = tmp_path / "audit.jsonl"
    write_lines(path, range(10, 99), max_bytes=120, max_files=max_files)
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == ["audit.jsonl", *(f"audit.jsonl.{n}" for n in range(1, max_files))]
    assert all(0 < file.stat().st_size <= 120 and file.stat().st_mode & 0o077 == 0 for file in files)
    numbers = read_numbers(*files[:0:-1], path)
    assert numbers == [*range(99 - len(numbers), 99)]


def test_a_limit_of_0_never_rotates(tmp_path: Path) -> None:
    write_lines(tmp_path / "audit.jsonl", range(1_000), max_bytes=0, max_files=2)
    assert read_numbers(tmp_path / "audit.jsonl") == [*range(1_000)]


def test_a_line_longer_than_the_limit_has_a_file_of_its_own(tmp_path: Path) -> None:
    write_lines(tmp_path / "audit.jsonl", range(3), max_bytes=5, max_files=3)
    assert [read_numbers(tmp_path / name) for name in ("audit.jsonl.2", "audit.jsonl.1", "audit.jsonl")] == [
        [0],
        [1],
        [2],
    ]


def test_processes_that_share_a_file_lose_no_line(tmp_path: Path) -> None:
    """Each log has its own descriptors and thread, as in separate processes."""
    path = tmp_path / "audit.jsonl"
    writers = [
        threading.Thread(
            target=write_lines, args=(path, range(n * 100, n * 100 + 100)), kwargs={"max_bytes": 300, "max_files": 100}
        )
        for n in range(1, 5)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    files = [*tmp_path.iterdir()]
    assert sorted(read_numbers(*files)) == [*range(100, 500)]
    assert all(file.stat().st_size <= 300 for file in files)
    # The log rotates a file only when the file is full.
    assert all(file.stat().st_size > 280 for file in files if file != path)


def test_a_disk_without_room_for_a_batch_leaves_no_partial_line(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    write_lines(path, range(3), max_bytes=0, max_files=1)
    log = AuditLog(path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    # The kernel accepts only the first bytes of a write that crosses the limit.
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 20, limits[1]))
    try:
        with pytest.raises(OSError, match="No space left"):
            log._append_to_file(b'{"number":3}\n{"number":4}\n')
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    log.close()
    assert read_numbers(path) == [0, 1, 2]


def test_another_program_may_move_the_file(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    write_lines(path, range(2), max_bytes=1_000, max_files=2)
    path.rename(tmp_path / "moved")
    write_lines(path, range(2, 3), max_bytes=1_000, max_files=2)
    assert read_numbers(tmp_path / "moved", path) == [0, 1, 2]
