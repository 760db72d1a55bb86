"""The JSON Schema of the answers that the dashboard reads, for the OpenAPI document."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType

from tickwire.core.event_kinds import FeedState
from tickwire.core.instrument import Instrument
from tickwire.feeds.base import FeedMode
from tickwire.feeds.playback_commands import VERBS
from tickwire.hub.client_list import ClientInfo
from tickwire.ops.monitor import SERIES, STAGES
from tickwire.screens.explanation import FilterCheckResult
from tickwire.server.cluster_processes import ClusterState
from tickwire.server.event_schemas import SCHEMA_REFERENCE, SubscriptionInForce
from tickwire.server.routes.whoami import Whoami
from tickwire.simulation.model import MarketModel


class UsedModel(msgspec.Struct):
    """The version of a simulation's model, and the numbers of accepted models, invalid models and failed fetches."""

    version: str
    swaps: int
    rejected: int
    unreachable: int


class Recording(msgspec.Struct):
    """The times of a recording in microseconds since the Unix epoch.

    `pauses` contains the begin and the end of each pause that playback shortens. `shifted_days` is the number of days
    that the replay adds to the recorded times.
    """

    start: int
    end: int
    pauses: list[tuple[int, int]]
    shifted_days: int


class Simulator(msgspec.Struct, kw_only=True):
    """The state of the feed. Only a simulation or a replay has `speed`, `behind`, `halted` and `recording`.

    `time` is the market time in microseconds since the Unix epoch. `behind` is in seconds. `recording` is null until
    the server has read the recording. `notice_detail` is null for clients without the scope `admin`.
    """

    feed: str
    mode: FeedMode
    state: FeedState
    time: int | None
    speed: float | UnsetType = UNSET
    behind: float | UnsetType = UNSET
    halted: list[str] | UnsetType = UNSET
    recording: Recording | UnsetType | None = UNSET
    commands: list[Annotated[str, msgspec.Meta(extra_json_schema={"enum": list(VERBS)})]]
    model: UsedModel | None
    scenario: str | None
    notice: str | None
    notice_detail: str | None


class Client(ClientInfo, frozen=True):
    """A connected reader. `since` is in microseconds since the Unix epoch, and `behind` is a number of events."""

    # ClientInfo contains the subscription as JSON data.
    subscription: SubscriptionInForce  # type: ignore[assignment]


class FeedHealth(msgspec.Struct):
    """A feed, and the seconds since its newest tick."""

    feed: str
    mode: FeedMode
    state: FeedState
    last_tick_age: float | None


class JournalSize(msgspec.Struct, kw_only=True):
    """The journal. `bytes` is its size, and `expired` the number of deleted events."""

    kind: str
    events: int
    bytes: int | None
    expired: int
    server_version: str | UnsetType = UNSET


class Totals(msgspec.Struct):
    """Counters since the start of the server."""

    events: int
    ticks: int
    deliveries: int
    bytes: int
    spared: int
    stalls: int
    conflated: int
    gaps: int
    opened: int
    closed: dict[str, int]
    refused: dict[str, int]


class Percentiles(msgspec.Struct):
    """The median and the 99th percentile of a duration, in milliseconds."""

    p50: float | None
    p99: float | None


Stages = msgspec.defstruct(
    "Stages",
    [(stage, Percentiles) for stage in STAGES],
    namespace={"__doc__": "The durations of the stages of the data path."},
)
History = msgspec.defstruct(
    "History",
    [("seconds", float), *((name, list[float | None]) for name in SERIES)],
    namespace={
        "__doc__": "Series of samples, oldest first, and the seconds between two samples. Rates are per second, "
        "durations in milliseconds, and memory in bytes."
    },
)


class Operations(msgspec.Struct, kw_only=True):
    """The current measurements of a server. `uptime` is in seconds, and `memory` in bytes."""

    version: str
    uptime: float
    head: str
    problems: list[str]
    feeds: list[FeedHealth]
    journal: JournalSize
    sender: str
    readers: int
    behind: int
    max_readers: int
    channels: int
    lag: int
    memory: int | None
    totals: Totals
    stages: Stages  # type: ignore[valid-type]
    history: History  # type: ignore[valid-type]


REST_ANSWERS: Mapping[tuple[str, str], Any] = {
    ("get", "/v1/instruments"): list[Instrument],
    ("post", "/v1/screens/check"): FilterCheckResult,
    ("get", "/v1/whoami"): Whoami,
    ("get", "/v1/clients"): list[Client],
    ("get", "/v1/clients/{client_id}"): list[Client],
    ("get", "/v1/simulator"): Simulator,
    ("post", "/v1/simulator"): Simulator,
    ("get", "/v1/simulator/model"): MarketModel,
    ("get", "/v1/operations"): Operations,
    ("get", "/v1/cluster"): ClusterState,
}
"""A dict that maps the method and the path of a request to the type of its answer."""


def rest_schemas() -> tuple[dict[tuple[str, str], dict[str, Any]], dict[str, Any]]:
    """Return two dicts: the schemas of the answers by method and path, and the schemas to which they refer by name."""
    answers, schemas = msgspec.json.schema_components(REST_ANSWERS.values(), ref_template=SCHEMA_REFERENCE)
    return dict(zip(REST_ANSWERS, answers, strict=True)), schemas
