"""The processes of the cluster: the role, readers, position and health of each, for operators."""

from __future__ import annotations

import os
from importlib.metadata import version
from typing import Literal, TypeAlias

import msgspec

from tickwire.core.codec import decode_json, encode_json
from tickwire.runtime.runtime import Runtime

_PROCESSES_TOPIC = "processes"
_VERSION = version("tickwire")


Role: TypeAlias = Literal["all", "feed", "edge"]
"""The possible values of the setting `role` of a process."""


class ProcessDescription(msgspec.Struct, frozen=True):
    """One process of the cluster. `since` is the start of the process in microseconds since the Unix epoch.

    `readers` is the number of connected readers, and `behind` the number of readers that have not received the newest
    event. `head` is the newest event that the process has applied. `lag` is the number of durable events that the
    process knows and has not applied yet. `problems` are the reasons why the process is not ready.
    """

    id: str
    pid: int
    role: Role
    leads: bool
    readers: int
    behind: int
    head: str
    lag: int
    version: str
    since: int
    problems: list[str]


class ClusterState(msgspec.Struct, frozen=True):
    """The processes of the cluster: first the process that runs the feed, then the other processes by role and id.

    `answered_by` is the process that answers the request. `unanswered` has the ids of the processes that did not
    describe themselves in time. They may have ended, or have another version.
    """

    answered_by: str
    processes: list[ProcessDescription]
    unanswered: list[str]


class ClusterProcesses:
    """Asks all processes of the cluster for their descriptions. `role` is the role of this process."""

    def __init__(self, runtime: Runtime, role: Role) -> None:
        self._runtime = runtime
        self._role = role
        self._since_us = runtime.clock.now() // 1_000
        self._peers = runtime.cluster.peers
        self._peers.register_handler(_PROCESSES_TOPIC, self._answer)

    async def describe_all(self) -> ClusterState:
        """Return the descriptions of all processes. A single process also counts as a cluster."""
        answer = await self._peers.request_all(_PROCESSES_TOPIC)
        processes = [decode_json(reply, ProcessDescription) for reply in answer.replies]
        processes.sort(key=lambda process: (not process.leads, process.role, process.id))
        return ClusterState(self._peers.node, processes, sorted({*answer.missing, *answer.silent}))

    async def _answer(self, _: bytes) -> bytes:
        return encode_json(self._describe())

    def _describe(self) -> ProcessDescription:
        runtime = self._runtime
        hub_stats, head = runtime.hub_pool.stats(), runtime.hub.head
        return ProcessDescription(
            id=self._peers.node,
            pid=os.getpid(),
            role=self._role,
            leads=runtime.leadership.runs_feed,
            readers=hub_stats.readers,
            behind=hub_stats.readers - hub_stats.live_readers,
            head=str(head),
            lag=runtime.journal.head - head.sequence,
            version=_VERSION,
            since=self._since_us,
            problems=[problem.describe() for problem in runtime.health().problems],
        )
