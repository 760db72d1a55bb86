"""A lease in a key-value bucket on NATS: a key that goes by itself unless its holder renews it.

Taking it is creating the key, renewing it is replacing the revision that one wrote oneself: of two that try, the server
takes one. A holder that cannot renew lets go before the others can take it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Any

from tickwire.errors import JournalError
from tickwire.journal.nats.link import Link, Refused

TTL_SECONDS = 2.5  # after its holder's death
_RENEW_SECONDS = 0.5
_LET_GO_SECONDS = 1.8  # since the last renewal began: before the key can have gone
_EXISTS = 10058  # JetStream's code for a stream that is there
_KEY = "leader"
_NANOSECONDS = 10**9

log = logging.getLogger("tickwire.journal")


class NatsLease:
    """The lease of one journal. `run` takes part in who holds it."""

    def __init__(self, link: Link, node: str, replicas: int) -> None:
        self._link = link
        self._node = node
        self._bucket = f"{link.address.name}-lease"
        self._replicas = replicas
        self._made = False
        self._problem = ""
        self._revision = 0
        self._renewed = 0.0
        self._won = asyncio.Event()
        self._lost = asyncio.Event()
        self._lost.set()

    @property
    def held(self) -> bool:
        """Whether this process holds it."""
        return self._won.is_set()

    async def won(self) -> None:
        """Return once this process holds it."""
        await self._won.wait()

    async def lost(self) -> None:
        """Return once this process does not hold it."""
        await self._lost.wait()

    async def run(self) -> None:
        """Try to take it, and keep it; never returns. Cancelled, it gives it back."""
        try:
            while True:
                await self._turn()
                await asyncio.sleep(_RENEW_SECONDS)
        finally:
            await self._give_back()

    async def _turn(self) -> None:
        began = asyncio.get_running_loop().time()
        try:
            if not self._made:  # or gone with a server that had it in memory
                await self._make()
            async with asyncio.timeout(_RENEW_SECONDS if self.held else None):
                await self._try()
            self._renewed = began
        except Refused:
            self._become(held=False)
        except (JournalError, TimeoutError):
            self._made = False
            if self.held and began - self._renewed + 2 * _RENEW_SECONDS > _LET_GO_SECONDS:
                self._become(held=False)

    async def _try(self) -> None:
        """Create the key, or replace what was written last."""
        expected = {"Nats-Expected-Last-Subject-Sequence": str(self._revision if self.held else 0)}
        subject = f"$KV.{self._bucket}.{_KEY}"
        self._revision = await self._link.stored(subject, self._node.encode(), headers=expected)
        self._become(held=True)

    def _become(self, *, held: bool) -> None:
        (self._won if held else self._lost).set()
        (self._lost if held else self._won).clear()

    async def _make(self) -> None:
        """The bucket; made where there is none."""
        configuration: dict[str, Any] = {
            "name": f"KV_{self._bucket}",
            "description": "who speaks for the feed",
            "subjects": [f"$KV.{self._bucket}.>"],
            "max_msgs_per_subject": 1,
            "max_age": int(TTL_SECONDS * _NANOSECONDS),
            "duplicate_window": int(TTL_SECONDS * _NANOSECONDS),
            "discard": "new",
            "allow_rollup_hdrs": True,
            "deny_delete": False,
            "storage": "memory",
            "num_replicas": self._replicas,
        }
        try:
            await self._link.api(f"STREAM.CREATE.KV_{self._bucket}", configuration)
        except Refused as error:
            if error.code != _EXISTS:
                self._say(f"the bucket {self._bucket} cannot be made on NATS: {error}")
                raise
        self._made = True

    def _say(self, problem: str) -> None:
        if problem != self._problem:
            log.error("%s", problem)
        self._problem = problem

    async def _give_back(self) -> None:
        if self.held:
            self._become(held=False)
            with contextlib.suppress(JournalError):
                await self._link.api(f"STREAM.MSG.DELETE.KV_{self._bucket}", {"seq": self._revision})
