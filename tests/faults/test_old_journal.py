"""The present code opens a journal that Tickwire 0.1.0 wrote; see tests/data/README.md."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
import re
import threading
from collections import Counter
from pathlib import Path

import httpx2
import msgspec
import pytest

from tickwire.core.candle import candles_from_bytes
from tickwire.core.event import RecordKind, decode_named_event
from tickwire.core.tick import ticks_from_bytes
from tickwire.errors import JournalError
from tickwire.hub.hub import Hub
from tickwire.journal.base import Retention, Snapshot
from tickwire.journal.sqlite import journal as sqlite_journal
from tickwire.journal.sqlite.journal import SQLiteJournal
from tickwire.market.board import Board
from tickwire.sessions.snapshot import decode_hub_snapshot
from tickwire.testing.clock import ManualClock
from tickwire.testing.journal_contract import sample_entry
from tickwire.testing.server import run_server
from tickwire.testing.tokens import TEST_SECRET, bearer_header, sign_token
from tickwire.testing.waiting import wait_until
from tickwire.testing.wire import open_stream

DATA = Path(__file__).parents[1] / "data"
EXPECTED = json.loads((DATA / "journal-0.1.0.json").read_text())
FIRST_SNAPSHOT_SEQUENCE = 328
COUNT_FOR_SECONDS = (
    "WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n WHERE i < 30000000) SELECT count(*) FROM n"
)


JOURNAL_PATTERN = re.compile(r"journal-(.+)\.sqlite\.gz")
VERSIONS = [match[1] for each in sorted(DATA.iterdir()) if (match := JOURNAL_PATTERN.fullmatch(each.name))]


def unpack_journal(version, path):
    path.write_bytes(gzip.decompress((DATA / f"journal-{version}.sqlite.gz").read_bytes()))
    return path


@pytest.fixture
def path(tmp_path):
    return unpack_journal("0.1.0", tmp_path / "journal")


@pytest.fixture
def clock():
    """The clock at the time when the journal was closed."""
    return ManualClock(EXPECTED["clock_ns"])


@pytest.fixture
async def journal(path, clock):
    journal = await SQLiteJournal.open(path, Retention(), clock)
    yield journal
    await journal.close()


async def test_a_stop_interrupts_a_long_upgrade(path, clock, monkeypatch):
    """The upgrade of a large file takes long. The event loop runs meanwhile, and the next start upgrades the file."""
    started = threading.Event()

    def upgrade(connection):
        connection.execute("BEGIN IMMEDIATE")
        started.set()
        connection.execute(COUNT_FOR_SECONDS)

    with monkeypatch.context() as patch:
        patch.setattr(sqlite_journal, "upgrade_format", upgrade)
        opening = asyncio.create_task(SQLiteJournal.open(path, Retention(), clock))
        await wait_until(started.is_set)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
    journal = await SQLiteJournal.open(path, Retention(), clock)
    assert (await journal.append(sample_entry(1))).is_new
    await journal.close()


async def test_old_journal_has_the_same_epoch_and_records(journal):
    assert (journal.epoch, journal.first, journal.head) == (EXPECTED["epoch"], 1, EXPECTED["head"])
    records = await journal.read(0, limit=10**6)
    digest, counts = hashlib.sha256(), Counter()
    for record in records:
        digest.update(f"{record.first} {record.event_count} {record.kind:d} {record.appended_ts} ".encode())
        digest.update(record.data)
        counts[str(int(record.kind))] += record.event_count
    assert digest.hexdigest() == EXPECTED["sha256"]
    assert counts == EXPECTED["event_count_by_kind"]


def test_each_released_version_has_a_journal():
    changelog = (DATA.parents[1] / "CHANGELOG.md").read_text()
    assert set(re.findall(r"^## \[?(\d+\.\d+\.\d+)", changelog, re.MULTILINE)) <= {*VERSIONS}
    assert "0.1.0" in VERSIONS


@pytest.mark.parametrize("version", VERSIONS)
async def test_journal_of_each_released_version_opens_and_keeps_its_epoch(version, tmp_path):
    """The epoch also stays the same at a second start, which finds the head file of the first start."""
    path, expected = (
        unpack_journal(version, tmp_path / "journal"),
        json.loads((DATA / f"journal-{version}.json").read_text()),
    )
    for _ in range(2):
        async with run_server(journal=f"sqlite:{path}", clock=ManualClock(expected["clock_ns"])) as server:
            journal = server.runtime.journal
            assert (journal.epoch, journal.first) == (expected["epoch"], 1)
            assert journal.head >= expected["head"]


async def test_unknown_layout_of_a_snapshot_is_one_line_that_names_the_writer(path, clock):
    for _ in range(2):
        journal = await SQLiteJournal.open(path, Retention(), clock)
        await journal.save_snapshot(Snapshot(journal.head, msgspec.msgpack.encode({"another": "layout"})))
        await journal.close()
    with pytest.raises(JournalError, match=r"contains data of Tickwire \S+ that this version cannot read") as caught:
        async with run_server(journal=f"sqlite:{path}", clock=clock):
            pass
    assert "\n" not in str(caught.value)


async def test_every_record_of_the_old_journal_decodes(journal):
    names = set()
    for record in await journal.read(0, limit=10**6):
        if record.kind is RecordKind.NAMED_EVENT:
            names.add(decode_named_event(record).name)
        else:
            decode = ticks_from_bytes if record.kind is RecordKind.TICKS else candles_from_bytes
            assert len(decode(record.data, record.event_count)) == record.event_count
    assert names == {"status", "clock", "note", "control"}


async def test_old_journal_accepts_appends_and_knows_its_keys(journal):
    source = "http user:pub"
    assert await journal.last_key(source) == "k29"
    assert not (await journal.append(sample_entry(1, source=source, key="k3"))).is_new
    assert (await journal.append(sample_entry(1))).first == EXPECTED["head"] + 1


async def test_newest_snapshot_of_the_old_journal_has_all_sessions(journal):
    snapshot = await journal.load_snapshot()
    assert snapshot.sequence == EXPECTED["head"]
    restored = decode_hub_snapshot(snapshot.data)
    board = Board()
    board.restore(restored.board)
    assert board.last_prices() == {quote["symbol"]: quote["last"] for quote in EXPECTED["quotes"]}
    assert json.loads(msgspec.json.encode(restored.changes)) == EXPECTED["subscription_overrides"]
    assert restored.kept == EXPECTED["stored_subscriptions"]
    assert json.loads(msgspec.json.encode(restored.revoked)) == EXPECTED["revocations"]


@pytest.mark.parametrize("from_sequence", [0, FIRST_SNAPSHOT_SEQUENCE])
async def test_replay_from_an_earlier_snapshot_reaches_the_newest_snapshot(journal, from_sequence):
    earlier = await journal.load_snapshot(from_sequence)
    assert earlier.sequence == from_sequence
    snapshot, board = decode_hub_snapshot(earlier.data), Board()
    board.restore(snapshot.board)
    hub = Hub(board, journal.epoch, journal, start_sequence=earlier.sequence, snapshot=snapshot)
    while hub.head.sequence < journal.head:
        hub.apply(await journal.read(hub.head.sequence), 0.0)
    replayed = decode_hub_snapshot(hub.capture_snapshot()())
    newest = decode_hub_snapshot((await journal.load_snapshot()).data)
    # The hub builds no candles, so only the snapshot of 0.1.0 contains candles. That snapshot contains no status.
    assert replayed == msgspec.structs.replace(
        newest, board=replayed.board, candles=replayed.candles, status=replayed.status
    )
    # The boards of 0.1.0 did not contain the times of trades and of bids and asks.
    old_board, board = msgspec.msgpack.decode(newest.board), msgspec.msgpack.decode(replayed.board)
    assert {key: board[key] for key in old_board} == old_board


async def test_server_on_the_old_journal_serves_the_same_market_and_sessions(path, clock):
    def authorize(scope: str = "", **claims):
        now = clock.now() / 1e9
        return bearer_header(sign_token(scope, iat=now - 60, exp=now + 3600, **claims))

    options = {"journal": f"sqlite:{path}", "clock": clock, "auth": "secret", "auth_secret": TEST_SECRET}
    async with run_server(**options) as server, httpx2.AsyncClient(base_url=server.url) as client:
        quotes = (await client.get("/v1/quotes", headers=authorize())).json()
        # A newer server may add fields to a quote. The fields of 0.1.0 keep their values.
        fields_of_0_1_0 = EXPECTED["quotes"][0].keys()
        assert [{name: quote[name] for name in fields_of_0_1_0} for quote in quotes] == EXPECTED["quotes"]
        for symbol, candles in EXPECTED["candles"].items():
            answer = await client.get(f"/v1/candles/{symbol}?interval=1m", headers=authorize())
            assert answer.json() == candles
        for claims in ({"jti": "t1"}, {"sub": "eve"}):
            answer = await client.get("/v1/quotes", headers=authorize(**claims))
            assert (answer.status_code, answer.json()["detail"]) == (401, "the token was revoked")
        headers = {**authorize(sub="ann"), "Last-Event-ID": EXPECTED["last_event_id"]}
        async with open_stream(server.url, {"symbols": "AAPL,BND", "client_id": "ann"}, headers=headers) as stream:
            assert (await stream.next_event()).data["subscription"]["symbols"] == ["BND", "MSFT"]
        parameters = {"subscription": EXPECTED["stored_subscription_id"]}
        async with open_stream(server.url, parameters, headers=authorize(sub="bob")) as stream:
            assert (await stream.next_event()).data["subscription"]["symbols"] == ["TSLA"]
