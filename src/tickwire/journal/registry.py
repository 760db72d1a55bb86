"""Opens a journal. The scheme of the journal's address (such as `sqlite:`) selects a backend from a table."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from tickwire.clock import Clock
from tickwire.errors import InputError
from tickwire.journal.base import Journal
from tickwire.journal.cluster import Cluster
from tickwire.journal.options import JournalOptions
from tickwire.redaction import redact_address

EMBEDDED_NATS = "nats:embedded"
"""The address of the journal for which `tickwire serve` starts its own NATS server."""

OpenBackend = Callable[[str, JournalOptions, Clock], AbstractAsyncContextManager[tuple[Journal, Cluster]]]
"""Opens the journal at an address until the context ends. Raises InputError if the address is invalid."""


class JournalBackend(NamedTuple):
    """A kind of journal. `module` defines the function `open_backend`.

    Tickwire imports the module only when it opens a journal of this kind.
    """

    schemes: tuple[str, ...]
    short_format: str
    """The format of the address, for error messages."""
    full_format: str
    """The format of the address, for the help of the `journal` setting."""
    is_shared: bool
    """Whether several processes can have the journal open at the same time."""
    module: str
    extra: str = ""
    """The package extra with the dependencies of the module, as in `pip install tickwire[EXTRA]`."""
    embedded_address: str = ""
    """The address for which `tickwire serve` starts the journal's server, or "" if it never starts one."""


BACKENDS = (
    JournalBackend(("memory",), "memory", "memory", is_shared=False, module="tickwire.journal.memory"),
    JournalBackend(
        ("sqlite",), "sqlite:PATH", "sqlite:PATH", is_shared=False, module="tickwire.journal.sqlite.journal"
    ),
    JournalBackend(
        ("nats", "tls"),
        "nats://HOST",
        "nats://[USER:PASSWORD@]HOST[:PORT][,HOST...][/NAME] (tls:// with TLS)",
        is_shared=True,
        module="tickwire.journal.nats.journal",
        extra="nats",
        embedded_address=EMBEDDED_NATS,
    ),
)
"""All backends. To support another kind of server, add a `JournalBackend` here, and implement the protocols of
`journal/shared`."""


def _join_formats(formats: list[str]) -> str:
    embedded = [backend.embedded_address for backend in BACKENDS if backend.embedded_address]
    return f"{', '.join([*formats[:-1], *embedded])} or {formats[-1]}"


JOURNAL_FORMATS = _join_formats([backend.full_format for backend in BACKENDS])
"""The address formats of all backends, for help texts."""


def find_backend(spec: str) -> JournalBackend | None:
    """Return the backend for an address, or None if the scheme of the address is unknown."""
    scheme = spec.partition(":")[0]
    return next((backend for backend in BACKENDS if scheme in backend.schemes), None)


def select_backend(spec: str) -> JournalBackend:
    """Return the backend for an address. Raise InputError if the scheme of the address is unknown."""
    backend = find_backend(spec)
    if backend is None:
        choices = _join_formats([each.short_format for each in BACKENDS])
        raise InputError(f"unknown journal {redact_address(spec)!r}: choose {choices}", field="journal")
    return backend


def is_shared(spec: str) -> bool:
    """Return True if several processes can have the journal open at the same time."""
    backend = find_backend(spec)
    return backend is not None and backend.is_shared


def sqlite_path(spec: str) -> Path | None:
    """Return the path of an SQLite journal, or None for any other journal."""
    scheme, _, path = spec.partition(":")
    return Path(path) if scheme == "sqlite" and path else None


@contextlib.asynccontextmanager
async def open_journal_and_cluster(
    spec: str, options: JournalOptions, clock: Clock
) -> AsyncIterator[tuple[Journal, Cluster]]:
    """Open the journal at an address, and join the cluster of the processes that share the journal.

    When the context ends, leave the cluster and close the journal.

    Raise InputError if the address is invalid. Raise JournalError if the journal cannot be opened.
    """
    async with _load(select_backend(spec))(spec, options, clock) as journal_and_cluster:
        yield journal_and_cluster


def _load(backend: JournalBackend) -> OpenBackend:
    try:
        module = import_module(backend.module)
    except ModuleNotFoundError as error:
        raise InputError(f"{error}: install tickwire[{backend.extra}]", field="journal") from None
    open_backend: OpenBackend = module.open_backend
    return open_backend
