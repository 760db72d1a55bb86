"""The number of readers and connections that a limit of open files permits."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tickwire.cli.capacity import MAX_OTHER_CONNECTIONS, RESERVED_CONNECTIONS, RESERVED_FILES, compute_capacity


@given(st.integers(1, 10**6), st.integers(64, 2**20), st.integers(3, 60))
def test_readers_and_connections_leave_the_reserves(max_readers: int, file_limit: int, open_files: int) -> None:
    capacity = compute_capacity(max_readers, file_limit, open_files)
    assert capacity.max_readers <= max_readers
    assert capacity.max_connections + open_files + RESERVED_FILES <= file_limit
    assert capacity.max_readers + RESERVED_CONNECTIONS <= capacity.max_connections
    assert capacity.max_connections - capacity.max_readers <= MAX_OTHER_CONNECTIONS


def test_a_large_limit_of_open_files_leaves_the_setting_unchanged() -> None:
    assert compute_capacity(50_000, 1_048_576, 10).max_readers == 50_000
