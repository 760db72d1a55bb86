"""The lease on a key in memory, with short intervals."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from tickwire.errors import JournalUnavailable
from tickwire.journal.shared import lease as lease_module
from tickwire.journal.shared.lease import SharedLease


class MemoryKey:
    """A LeaseKey whose outcome the test chooses: True, False or an error."""

    def __init__(self, outcome):
        self.outcome = outcome
        self.writes = []
        self.is_deleted = False

    async def write(self, *, is_held):
        self.writes.append(is_held)
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome

    async def delete(self):
        self.is_deleted = True


@pytest.fixture(autouse=True)
def short_intervals(monkeypatch):
    monkeypatch.setattr(lease_module, "_RENEW_INTERVAL_S", 0.005)
    # A busy machine may need much longer than one interval for two renewals.
    monkeypatch.setattr(lease_module, "_RELEASE_AFTER_S", 1)


@contextlib.asynccontextmanager
async def run_lease(key):
    lease = SharedLease(key)
    task = asyncio.create_task(lease.run())
    try:
        yield lease
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_lease_is_acquired_then_renewed_then_released():
    key = MemoryKey(True)
    async with run_lease(key) as lease:
        await lease.wait_until_held()
        while len(key.writes) < 3:
            await asyncio.sleep(0)
        assert key.writes[:3] == [False, True, True]
    assert not lease.is_held
    assert key.is_deleted


async def test_lease_of_another_process_is_not_held():
    key = MemoryKey(False)
    async with run_lease(key) as lease:
        while len(key.writes) < 2:
            await asyncio.sleep(0)
        await lease.wait_until_lost()
    assert key.writes[:2] == [False, False]
    assert not key.is_deleted


async def test_lease_is_lost_when_another_process_takes_the_key():
    key = MemoryKey(True)
    async with run_lease(key) as lease:
        await lease.wait_until_held()
        key.outcome = False
        await lease.wait_until_lost()


async def test_lease_is_given_up_before_the_key_can_expire():
    """A single failed renewal does not end the lease."""
    key = MemoryKey(True)
    async with run_lease(key) as lease:
        await lease.wait_until_held()
        key.outcome = JournalUnavailable("not now")
        count = len(key.writes)
        while len(key.writes) < count + 2:
            await asyncio.sleep(0)
        assert lease.is_held
        await lease.wait_until_lost()
