"""From an open journal to a runtime whose board and candles have taken all that it holds."""

from __future__ import annotations

import logging
from functools import partial

from tickwire.clock import Clock
from tickwire.core.moment import LATEST, read_moment
from tickwire.errors import InputError, SettingsError
from tickwire.feeds.open import check_spec, instruments_of
from tickwire.feeds.sources import open_source
from tickwire.history.archive import Archive
from tickwire.history.chronicle import Chronicle, saved_maker
from tickwire.hub.hub import Hub
from tickwire.hub.hubs import Hubs
from tickwire.hub.saved import Saved, pack_saved, read_saved
from tickwire.journal.base import Journal, State
from tickwire.journal.company import Company, alone
from tickwire.market.board import Board
from tickwire.market.model import read_model
from tickwire.market.session import Sessions
from tickwire.runtime import Modelled, Runtime
from tickwire.settings import Settings

log = logging.getLogger(__name__)


async def make_runtime(
    settings: Settings,
    clock: Clock,
    journal: Journal,
    *,
    archive: Archive,
    sessions: Sessions,
    company: Company | None = None,
) -> Runtime:
    """The runtime that the settings describe, at the journal's head."""
    _check_feed(settings)
    modelled = await _load_model(settings)
    instruments = instruments_of(settings.feed, modelled.model if modelled else None)

    def make_board() -> Board:
        return Board(instruments, sessions)

    state = await _newest_state(settings, journal, make_board())
    saved, board = read_saved(state.data), make_board()
    board.restore(saved.board)
    chronicle = Chronicle(archive, sessions)
    hub = Hub(
        board,
        journal.epoch,
        journal,
        make_board=make_board,
        start_at=state.sequence,
        saved=saved,
        lifetime=settings.max_lifetime,
        candles=chronicle.candles,
    )
    await _recover_board(journal, hub, clock)
    await _recover_candles(journal, chronicle, state)
    hubs = Hubs(hub, journal, clock, make_board=make_board, make_candles=partial(saved_maker, sessions=sessions))
    return Runtime(
        settings, clock, journal, hubs,
        chronicle=chronicle, company=company or alone(), modelled=modelled, saved=state.sequence,
    )  # fmt: skip


def _check_feed(settings: Settings) -> None:
    """SettingsError for what only a simulation can be told, where nothing is simulated."""
    kind, _ = check_spec(settings.feed)
    for name in ("scenario", "start", "model"):
        value = getattr(settings, name)
        if value and kind != "simulator":
            said = f"--{name} {value} is for a simulated market, and --feed {kind} has its prices from elsewhere"
            raise SettingsError(said, field=name)
    if settings.start and read_moment(settings.start, field="start") == LATEST:
        raise InputError(f"{settings.start!r} is no time for a market to begin", field="start")


async def _load_model(settings: Settings) -> Modelled | None:
    """The model that the settings name; None where they name none."""
    if not settings.model:
        return None
    source = open_source(settings.model)
    found = await source.fetch()
    if found is None:
        raise InputError(f"there is nothing at {settings.model}", field="model")
    model = read_model(found.data)
    log.info("the model is %s, from %s", model.version, settings.model)
    return Modelled(model, source, found.mark)


async def _newest_state(settings: Settings, journal: Journal, empty: Board) -> State:
    """What was saved last. There is a state from the start on, because history goes only where a state covers it."""
    state = await journal.load_state()
    if state is None:
        state = State(0, pack_saved(Saved(empty.save())))
        if settings.role != "edge":
            await journal.save_state(state)
    return state


async def _recover_board(journal: Journal, hub: Hub, clock: Clock) -> None:
    """Apply what the journal holds beyond the saved state."""
    while hub.head.sequence < journal.head:
        hub.apply(await journal.read(hub.head.sequence), clock.monotonic())


async def _recover_candles(journal: Journal, chronicle: Chronicle, newest: State) -> None:
    """Make the candles anew from a saved state: the newest, or where the archive lags behind that, an older one."""
    archive = chronicle.archive
    if not journal.head and archive.sequence:
        await archive.clear()
    state = newest
    if archive.sequence < newest.sequence:
        state = await journal.load_state(max(archive.sequence, journal.first)) or newest
    await chronicle.recover(journal, state.sequence, read_saved(state.data).candles)
