"""The senders that work on this machine, for tests that run once with each sender."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from tickwire.errors import InputError
from tickwire.server.transport.senders import batch_sender, batches
from tickwire.server.transport.senders.opening import SenderKind, open_sender

BATCH_SENDERS: tuple[SenderKind, ...] = ("uring", "native")


@contextlib.contextmanager
def batches_of_any_size(kind: SenderKind) -> Iterator[None]:
    """Let a batch sender send batches of any size with one call. By default, it does so only with large batches.

    Skip the test if the sender does not work on this machine.
    """
    try:
        open_sender(kind).close()
    except InputError as error:
        pytest.skip(str(error))
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(batch_sender, "MIN_SINKS", 1)
        monkeypatch.setattr(batches, "MIN_ARRAY_SINKS", 2)
        yield
