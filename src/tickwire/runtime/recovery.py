"""Recovery creates a runtime whose board (newest quotes) and candles include every event in the journal."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from tickwire.candles.archive import CandleArchive
from tickwire.candles.recorder import CandleRecorder, restore_candle_builder
from tickwire.clock import Clock
from tickwire.core.event import split_into_turns
from tickwire.errors import InputError, JournalError
from tickwire.feeds.model_source import open_model_source
from tickwire.feeds.registry import feed_instruments
from tickwire.hub.fanout.sender import Sender
from tickwire.hub.hub import Hub
from tickwire.hub.hub_pool import HubPool
from tickwire.journal.base import Journal, Snapshot
from tickwire.journal.cluster import Cluster, single_process_cluster
from tickwire.market.board import Board
from tickwire.market.trading_sessions import TradingSessions
from tickwire.recordings.instrument_file import merge_instruments
from tickwire.redaction import redact_address
from tickwire.runtime.feed_runner import LoadedModel
from tickwire.runtime.runtime import Runtime, RuntimeOptions
from tickwire.sessions.snapshot import HubSnapshot, decode_hub_snapshot, encode_hub_snapshot
from tickwire.simulation.model import parse_model

if TYPE_CHECKING:
    from tickwire.ops.tracing.tracing import Tracing

log = logging.getLogger(__name__)


async def create_runtime(
    options: RuntimeOptions,
    clock: Clock,
    journal: Journal,
    *,
    archive: CandleArchive,
    sessions: TradingSessions,
    cluster: Cluster | None = None,
    sender: Sender | None = None,
    tracing: Tracing | None = None,
) -> Runtime:
    """Return a runtime that has applied every event in the journal. The background tasks are not started yet.

    Raise JournalError if the journal contains snapshots or events that this version cannot decode.
    """
    loaded_model = await _load_model(options.feed.model_spec)
    feed_options = options.feed.options._replace(model=loaded_model.model if loaded_model else None)
    instruments = merge_instruments(feed_instruments(options.feed.spec, feed_options), options.instruments)

    def create_board() -> Board:
        return Board(instruments, sessions)

    snapshot = await _load_or_create_snapshot(journal, create_board(), may_create=options.saves_first_snapshot)
    candle_recorder = CandleRecorder(archive, sessions)
    with _translate_layout_errors(journal):
        hub = _restore_hub(options, journal, snapshot, create_board, candle_recorder, sender)
        await _recover_board(journal, hub, clock)
        await _recover_candles(journal, candle_recorder, snapshot)
    hub_pool = HubPool(
        hub,
        journal,
        clock,
        board_factory=create_board,
        candle_updater_factory=partial(restore_candle_builder, sessions=sessions),
    )
    return Runtime(
        options,
        clock,
        journal,
        hub_pool,
        candle_recorder=candle_recorder,
        cluster=cluster or single_process_cluster(),
        loaded_model=loaded_model,
        snapshot_sequence=snapshot.sequence,
        tracing=tracing,
    )


def _restore_hub(  # noqa: PLR0917  # six collaborators, each of its own type
    options: RuntimeOptions,
    journal: Journal,
    snapshot: Snapshot,
    board_factory: Callable[[], Board],
    candle_recorder: CandleRecorder,
    sender: Sender | None,
) -> Hub:
    """Return a hub in the state of a snapshot."""
    board = board_factory()
    hub_snapshot = decode_hub_snapshot(snapshot.data)
    board.restore(hub_snapshot.board)
    return Hub(
        board,
        journal.epoch,
        journal,
        board_factory=board_factory,
        start_sequence=snapshot.sequence,
        snapshot=hub_snapshot,
        max_lifetime_s=options.max_stream_lifetime_s,
        candles=candle_recorder.candles,
        sender=sender,
    )


@contextlib.contextmanager
def _translate_layout_errors(journal: Journal) -> Iterator[None]:
    """Convert errors of decoding to a JournalError that names the version that wrote the journal.

    The data has a correct checksum, so it is not damaged. An error means that another version of Tickwire encoded the
    data in another layout.
    """
    try:
        yield
    except (msgspec.MsgspecError, ValueError, KeyError, IndexError, TypeError) as error:
        log.debug("cannot decode the journal", exc_info=True)
        written_by = journal.stats().written_by
        writer = f"Tickwire {written_by}" if written_by else "another version of Tickwire"
        raise JournalError(
            f"the journal {journal.epoch} contains data of {writer} that this version cannot read ({error}): start the "
            "version that wrote it, or choose another journal with --journal"
        ) from error


async def _load_model(spec: str) -> LoadedModel | None:
    """Load the simulator's model from its file or URL. Return None for the built-in model.

    Raise InputError if the file or URL contains no model.
    """
    if not spec:
        return None
    source = open_model_source(spec)
    fetched = await source.fetch()
    if fetched is None:
        raise InputError(
            f"no model found at {redact_address(spec)!r}: use the path or URL of a model file", field="model"
        )
    model = parse_model(fetched.data)
    log.info("loaded the model %s from %s", model.version, redact_address(spec))
    return LoadedModel(model, source, fetched.etag)


async def _load_or_create_snapshot(journal: Journal, empty_board: Board, *, may_create: bool) -> Snapshot:
    """Return the newest snapshot in the journal. If the journal has no snapshot, create and return an empty one.

    Save the created snapshot if `may_create` is True. The journal can delete old events only up to a saved snapshot.
    """
    snapshot = await journal.load_snapshot()
    if snapshot is None:
        snapshot = Snapshot(0, encode_hub_snapshot(HubSnapshot(empty_board.save())))
        if may_create:
            await journal.save_snapshot(snapshot)
    return snapshot


async def _recover_board(journal: Journal, hub: Hub, clock: Clock) -> None:
    """Apply to the hub every journal event that the hub's snapshot does not include."""
    while hub.head.sequence < journal.head:
        for turn in split_into_turns(await journal.read(hub.head.sequence)):
            hub.apply(turn.parts, clock.monotonic())
            # Let the server answer health checks.
            await asyncio.sleep(0)
    # Reset the counters, because they must not count ticks from before the start of this process.
    hub.board.dirty_ticks.reset()


async def _recover_candles(journal: Journal, candle_recorder: CandleRecorder, newest_snapshot: Snapshot) -> None:
    """Rebuild the candles from the newest snapshot and later events.

    If the candle archive lacks closed candles from before the newest snapshot, start from an older snapshot.
    """
    archive = candle_recorder.archive
    if not journal.head and archive.sequence:
        await archive.clear()
    snapshot = newest_snapshot
    if archive.sequence < newest_snapshot.sequence:
        snapshot = await journal.load_snapshot(max(archive.sequence, journal.first)) or newest_snapshot
    await candle_recorder.recover(journal, snapshot.sequence, decode_hub_snapshot(snapshot.data).candles)
