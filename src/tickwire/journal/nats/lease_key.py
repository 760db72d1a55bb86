"""Stores the lease in NATS. The process that holds the lease runs the feed, the source of the market data.

The lease is a key in a NATS key-value bucket. The key expires unless the process that holds the lease renews it.
"""

from __future__ import annotations

import logging
from typing import Any

from tickwire.journal.nats.connection import STREAM_EXISTS_CODE, JetStreamError, NatsConnection
from tickwire.journal.shared.lease import LEASE_TTL_S

_KEY = "leader"
_NS_PER_S = 10**9

log = logging.getLogger("tickwire.journal")


class NatsLeaseKey:
    """A LeaseKey on NATS. The value of the key is the name of the process that holds the lease.

    The first call of `write` creates the key-value bucket.
    """

    def __init__(self, connection: NatsConnection, node: str, replicas: int) -> None:
        self._connection = connection
        self._node = node
        self._bucket = f"{connection.address.journal_name}-lease"
        self._replicas = replicas
        self._bucket_exists = False
        self._last_problem = ""
        self._revision = 0

    async def write(self, *, is_held: bool) -> bool:
        """Create or renew the key; see `LeaseKey.write`."""
        try:
            if not self._bucket_exists:
                await self._create_bucket()
            headers = {"Nats-Expected-Last-Subject-Sequence": str(self._revision if is_held else 0)}
            subject = f"$KV.{self._bucket}.{_KEY}"
            self._revision = await self._connection.publish_to_stream(subject, self._node.encode(), headers=headers)
        except JetStreamError:
            return False
        except BaseException:
            # Create the bucket again, because the server stores the bucket in memory and may have lost it in a restart.
            self._bucket_exists = False
            raise
        return True

    async def delete(self) -> None:
        """Delete the key. Do nothing if another process has written the key after this process."""
        await self._connection.call_api(f"STREAM.MSG.DELETE.KV_{self._bucket}", {"seq": self._revision})

    async def _create_bucket(self) -> None:
        configuration: dict[str, Any] = {
            "name": f"KV_{self._bucket}",
            # Do not change the description of the bucket. All versions of Tickwire must use the same description,
            # because a cluster may contain several versions.
            "description": "who speaks for the feed",
            "subjects": [f"$KV.{self._bucket}.>"],
            "max_msgs_per_subject": 1,
            "max_age": int(LEASE_TTL_S * _NS_PER_S),
            "duplicate_window": int(LEASE_TTL_S * _NS_PER_S),
            "discard": "new",
            "allow_rollup_hdrs": True,
            "deny_delete": False,
            "storage": "memory",
            "num_replicas": self._replicas,
        }
        try:
            await self._connection.call_api(f"STREAM.CREATE.KV_{self._bucket}", configuration)
        except JetStreamError as error:
            if error.code != STREAM_EXISTS_CODE:
                self._log_problem(f"cannot create the bucket {self._bucket} on NATS: {error}")
                raise
        self._bucket_exists = True

    def _log_problem(self, problem: str) -> None:
        if problem != self._last_problem:
            log.error("%s", problem)
        self._last_problem = problem
