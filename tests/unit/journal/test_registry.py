"""The table of journal backends."""

from __future__ import annotations

import sys

import pytest

from tickwire.errors import InputError
from tickwire.journal.options import JournalOptions
from tickwire.journal.registry import BACKENDS, JOURNAL_FORMATS, is_shared, open_journal_and_cluster, sqlite_path
from tickwire.settings import Settings
from tickwire.testing.clock import ManualClock


async def open_journal(spec):
    async with open_journal_and_cluster(spec, JournalOptions(), ManualClock()) as (journal, cluster):
        return journal.stats().kind, cluster.is_shared


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("redis", "unknown journal 'redis': choose memory, sqlite:PATH, nats:embedded or nats://HOST"),
        ("", "unknown journal ''"),
        ("memory:x", "invalid journal 'memory:x': use 'memory'"),
        ("sqlite:", "invalid journal 'sqlite:': add the path of the file"),
        ("nats:", "invalid journal address 'nats:'"),
    ],
)
async def test_open_rejects_an_invalid_address(spec, message):
    with pytest.raises(InputError, match=message) as caught:
        await open_journal(spec)
    assert caught.value.field == "journal"


async def test_open_uses_the_backend_of_the_scheme(tmp_path):
    assert await open_journal("memory") == ("memory", False)
    assert await open_journal(f"sqlite:{tmp_path / 'j'}") == ("sqlite", False)


async def test_open_names_the_extra_of_a_backend_that_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "tickwire.journal.nats.journal", None)
    with pytest.raises(InputError, match=r"install tickwire\[nats\]"):
        await open_journal("nats://127.0.0.1")


def test_is_shared_depends_on_the_scheme():
    assert [is_shared(spec) for spec in ("nats://x", "tls://x", "sqlite:x", "memory", "", "redis://x")] == [
        True,
        True,
        False,
        False,
        False,
        False,
    ]


def test_sqlite_path_is_none_for_other_journals():
    assert str(sqlite_path("sqlite:a/b:c")) == "a/b:c"
    assert sqlite_path("sqlite:") is None
    assert sqlite_path("memory") is None


def test_help_of_the_setting_lists_every_backend():
    description = Settings.model_fields["journal"].description
    assert description is not None
    assert JOURNAL_FORMATS in description
    assert all(backend.full_format in description for backend in BACKENDS)
