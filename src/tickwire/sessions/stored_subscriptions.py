"""Stored subscriptions: stream parameters that are stored under an id, for watchlists that are too long for a URL."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

import msgspec

from tickwire.core.codec import encode_json
from tickwire.sessions.quota import ExceededLimit, IdleTimer, Quota

MAX_IDLE_S = 60.0
# The maximum size in bytes of all stored parameters together, and of the parameters that one user stored. The second
# limit does not apply to users with the scope `admin`.
MAX_STORED_BYTES = 32 * 1024 * 1024
MAX_STORED_BYTES_PER_USER = 4 * 1024 * 1024
# The length of an id in bytes. With this length, an attacker cannot find different parameters with the same id.
_ID_BYTES = 16


class _StoredSubscription(msgspec.Struct):
    """The stream parameters that are stored under one id.

    `user` is the first user that stored the parameters. If `user` is None, the parameters count towards no user's
    quota. `readers` is the number of readers in this process that use the parameters.
    """

    parameters: Mapping[str, str]
    size: int
    user: str | None = None
    readers: int = 0
    idle: IdleTimer = msgspec.field(default_factory=IdleTimer)


class StoredSubscriptions:
    """The stored parameters of stream requests, by id. An entry that no reader uses for MAX_IDLE_S is evicted.

    The id is a hash of the parameters. Clients that store equal parameters therefore receive the same id, and share one
    entry.
    """

    def __init__(self) -> None:
        self._entries: dict[str, _StoredSubscription] = {}
        self._bytes = Quota()

    def __len__(self) -> int:
        return len(self._entries)

    def exceeded_limit(self, parameters: Mapping[str, str], user: str | None) -> ExceededLimit | None:
        """Check whether these parameters can be stored. Return the limit that they would exceed, or None.

        If `user` is None, only the limit of the server applies.
        """
        if compute_subscription_id(parameters) in self._entries:
            return None
        return self._bytes.exceeded_limit(
            {user: _parameters_size(parameters)}, max_total=MAX_STORED_BYTES, max_per_user=MAX_STORED_BYTES_PER_USER
        )

    def store(self, id: str, parameters: Mapping[str, str], owner: str | None = None) -> None:  # noqa: A002  # the word
        """Store stream parameters under an id. If the id is stored already, only restart its idle time."""
        entry = self._entries.get(id)
        if entry is not None:
            entry.idle.reset()
            return
        self._entries[id] = entry = _StoredSubscription(parameters, _parameters_size(parameters), owner)
        self._bytes.add(entry.user, entry.size)

    def find_parameters(self, id: str) -> Mapping[str, str] | None:  # noqa: A002
        """Return the stream parameters that are stored under the id, or None if the id is not stored."""
        entry = self._entries.get(id)
        return None if entry is None else entry.parameters

    def acquire(self, id: str, parameters: Mapping[str, str]) -> None:  # noqa: A002
        """Increment the number of readers that use the stored subscription `id`.

        `parameters` are the parameters that the caller read from this stored subscription earlier. If the subscription
        was evicted since then, store `parameters` again.
        """
        self.store(id, parameters)
        self._entries[id].readers += 1

    def release(self, id: str) -> None:  # noqa: A002
        """Decrement the number of readers that use the stored subscription `id`, and restart its idle time."""
        self._entries[id].readers -= 1
        self._entries[id].idle.reset()

    @property
    def ids_in_use(self) -> list[str]:
        """The ids of the stored subscriptions that readers of this process use."""
        return [stored_id for stored_id, entry in self._entries.items() if entry.readers]

    def owner(self, id: str) -> str | None:  # noqa: A002
        """Return the user whose quota counts the stored subscription `id`. Return None if no user's quota counts it."""
        return self._entries[id].user

    def refresh(self, ids: Iterable[str]) -> None:
        """Reset the idle timers of stored subscriptions that readers of other processes use."""
        for stored_id in ids:
            entry = self._entries.get(stored_id)
            if entry is not None:
                entry.idle.reset()

    def evict_idle(self, now: float) -> None:
        """Evict the stored subscriptions that were unused for MAX_IDLE_S. `now` is monotonic, in seconds."""
        for stored_id, entry in list(self._entries.items()):
            if not entry.readers and entry.idle.elapsed_s(now) >= MAX_IDLE_S:
                del self._entries[stored_id]
                self._bytes.add(entry.user, -entry.size)

    def save(self) -> dict[str, dict[str, str]]:
        """Return a dict from each id to its parameters, as an argument for `restore`."""
        return {stored_id: dict(entry.parameters) for stored_id, entry in self._entries.items()}

    def owners(self) -> dict[str, str]:
        """Return a dict from each id to the user that stored the parameters, as an argument for `restore`.

        The result omits ids that no user's quota counts.
        """
        return {stored_id: entry.user for stored_id, entry in self._entries.items() if entry.user is not None}

    def restore(self, saved: Mapping[str, dict[str, str]], owners: Mapping[str, str]) -> None:
        """Add the stored subscriptions that `save` and `owners` returned."""
        for stored_id, parameters in saved.items():
            self.store(stored_id, parameters, owners.get(stored_id))


def compute_subscription_id(parameters: Mapping[str, str]) -> str:
    """Return the id under which these stream parameters are stored. The id is a hash of the parameters."""
    return hashlib.sha256(encode_json(sorted(parameters.items()))).hexdigest()[: 2 * _ID_BYTES]


def _parameters_size(parameters: Mapping[str, str]) -> int:
    return sum(len(name) + len(value) for name, value in parameters.items())
