"""Conditions, receive times and cancels of published ticks, over HTTP."""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest

from tickwire import Publisher
from tickwire.client.frame_ticks import FrameTicks
from tickwire.core.published_tick import PublishedTick
from tickwire.testing.clock import ManualClock
from tickwire.testing.command_line import invoke_command_in_thread, run_command_process
from tickwire.testing.server import ServerProcess, run_server
from tickwire.testing.wire import open_stream

T0_US = ManualClock().now() // 1000
SECOND_US = 1_000_000


def trade(last: float, size: float = 100.0, second: int = 0, **facts: Any) -> dict[str, Any]:
    return {"symbol": "A", "ts": T0_US + second * SECOND_US, "last": last, "size": size, **facts}


# Each case: the trades after a trade of 100 at 10.0, and the quote: last, high, low, volume.
CONDITIONS = {
    "an odd lot": ([trade(50.0, 5.0, 1, conditions=["@", "I"])], (10.0, 10.0, 10.0, 105)),
    "an average price of tape C": ([trade(50.0, 5.0, 1, conditions=["W"], tape="C")], (10.0, 10.0, 10.0, 105)),
    "an average price of tape A": ([trade(50.0, 5.0, 1, conditions=["B"], tape="A")], (10.0, 10.0, 10.0, 105)),
    "a bunched trade of tape C": ([trade(50.0, 5.0, 1, conditions=["B"], tape="C")], (50.0, 50.0, 10.0, 105)),
    "out of sequence": ([trade(50.0, 5.0, 1, conditions=["Z"])], (10.0, 50.0, 10.0, 105)),
    "several codes in one text": ([trade(50.0, 5.0, 1, conditions=["@ZI"])], (10.0, 10.0, 10.0, 105)),
    "out of sequence after a newer trade": (
        [trade(11.0, 1.0, 5), trade(50.0, 5.0, 6, conditions=["Z"])],
        (11.0, 50.0, 10.0, 106),
    ),
    "the official close": ([trade(50.0, 5.0, 1, conditions=["M"])], (10.0, 10.0, 10.0, 100)),
    "a corrected close": ([trade(50.0, 5.0, 1, conditions=["9"])], (50.0, 50.0, 10.0, 100)),
    "no special condition": ([trade(50.0, 5.0, 1, conditions=["@", "F"])], (50.0, 50.0, 10.0, 105)),
    "a cancelled odd lot": (
        [trade(50.0, 5.0, 1, conditions=["I"]), trade(50.0, 5.0, 1, conditions=["I"], cancel=True)],
        (10.0, 10.0, 10.0, 100),
    ),
    "a cancelled trade out of sequence": (
        [trade(50.0, 5.0, 1, conditions=["Z"]), trade(50.0, 5.0, 1, conditions=["Z"], cancel=True)],
        (10.0, 10.0, 10.0, 100),
    ),
    "a corrected odd lot": (
        [
            trade(50.0, 5.0, 1, conditions=["I"]),
            trade(50.0, 5.0, 1, conditions=["I"], cancel=True),
            trade(12.0, 200.0, 1),
        ],
        (12.0, 12.0, 10.0, 300),
    ),
}
UPLOAD = "/v1/uploads/u"


async def publish(client: httpx2.AsyncClient, ticks: list[dict[str, Any]], form: str = "array") -> httpx2.Response:
    if form == "array":
        return await client.post("/v1/quotes", json=ticks)
    body = b"".join(msgspec.json.encode(tick) + b"\n" for tick in ticks)
    path = "/v1/quotes" if form == "lines" else UPLOAD
    return await client.post(path, content=body, headers={"content-type": "application/x-ndjson"})


async def values_of(client: httpx2.AsyncClient, *fields: str) -> tuple[Any, ...]:
    quote = (await client.get("/v1/quotes/A")).json()
    return tuple(quote[field] for field in fields)


async def read_samples(client: httpx2.AsyncClient) -> dict[str, float]:
    """Return the samples of /metrics. A key is a name with its labels."""
    lines = [line.rpartition(" ") for line in (await client.get("/metrics")).text.splitlines() if line[0] != "#"]
    return {name: float(value) for name, _, value in lines}


@pytest.mark.parametrize("at_once", [False, True], ids=["later", "in one batch"])
@pytest.mark.parametrize("form", ["array", "lines", "upload"])
@pytest.mark.parametrize("case", CONDITIONS)
async def test_a_trade_changes_the_values_that_its_conditions_allow(case: str, form: str, at_once: bool) -> None:
    ticks, expected = CONDITIONS[case]
    async with (
        run_server(clock=ManualClock(), conditions="sip") as server,
        httpx2.AsyncClient(base_url=server.url) as client,
    ):
        first = trade(10.0)
        for batch in [[first, *ticks]] if at_once else [[first], ticks]:
            answer = await publish(client, batch, form if at_once else "array")
            assert answer.status_code == 201, answer.text
        assert await values_of(client, "last", "high", "low", "volume") == expected


async def test_each_of_several_processes_applies_conditions(tmp_path: Path) -> None:
    options = ("--feed", "http", "--workers", "2", "--conditions", "sip", "--journal", f"sqlite:{tmp_path / 'j'}")
    async with ServerProcess(*options, cwd=tmp_path) as server:
        for number in range(1, 9):
            # Each connection may reach another process.
            async with httpx2.AsyncClient(base_url=server.url) as client:
                ticks = [trade(10.0 + number, 100.0, number), trade(50.0, 1.0, number, conditions=["Z"])]
                assert (await publish(client, ticks)).status_code == 201
                assert await values_of(client, "last", "high", "volume") == (10.0 + number, 50.0, 101 * number)


async def test_without_the_option_conditions_are_counted_and_have_no_effect() -> None:
    async with run_server(clock=ManualClock()) as server, httpx2.AsyncClient(base_url=server.url) as client:
        ticks = [trade(10.0), trade(50.0, 5.0, 1, conditions=["I"]), trade(11.0, 5.0, 2, conditions=["@"])]
        assert (await publish(client, ticks)).status_code == 201
        assert await values_of(client, "last", "high", "volume") == (11.0, 50.0, 110)
        samples = await read_samples(client)
        assert samples["tickwire_ignored_conditions_total"] == 1
        assert samples['tickwire_dirty_ticks_total{kind="condition"}'] == 0


async def test_conditions_with_an_effect_are_counted_once() -> None:
    async with (
        run_server(clock=ManualClock(), conditions="sip") as server,
        httpx2.AsyncClient(base_url=server.url) as client,
    ):
        ticks = [trade(10.0), trade(50.0, 5.0, 1, conditions=["I"])]
        for status in (201, 200):
            answer = await client.post("/v1/quotes", json=ticks, headers={"Idempotency-Key": "k"})
            assert answer.status_code == status
        samples = await read_samples(client)
        assert samples['tickwire_dirty_ticks_total{kind="condition"}'] == 1
        assert samples["tickwire_ignored_conditions_total"] == 0


async def test_the_first_trade_sets_the_last_price_although_it_is_out_of_sequence() -> None:
    async with (
        run_server(clock=ManualClock(), conditions="sip") as server,
        httpx2.AsyncClient(base_url=server.url) as client,
    ):
        assert (await publish(client, [trade(10.0, conditions=["Z"])])).status_code == 201
        assert await values_of(client, "last", "volume") == (10.0, 100)


async def test_receive_times_feed_the_histograms() -> None:
    async with run_server(clock=ManualClock()) as server, httpx2.AsyncClient(base_url=server.url) as client:
        now = T0_US
        ticks = [
            # The source needed 20 ms, and the publisher 30 ms.
            {"symbol": "A", "last": 1.0, "ts": now - 50_000, "recv_ts": now - 30_000},
            # The publisher's clock is ahead of the server's.
            {"symbol": "A", "last": 1.0, "ts": now - 1_000, "recv_ts": now + 4_000},
            # The clock of the source is ahead of the publisher's.
            {"symbol": "A", "last": 1.0, "ts": now, "recv_ts": now - 200_000},
            # Without a time, the server determines the time of the tick.
            {"symbol": "A", "last": 1.0, "recv_ts": now},
        ]
        for _ in range(2):
            answer = await client.post("/v1/quotes", json=ticks, headers={"Idempotency-Key": "k"})
            assert answer.is_success, answer.text
        samples = await read_samples(client)
        name = "tickwire_publish_delay_seconds"
        assert samples[f'{name}_count{{stage="source"}}'] == 2
        assert samples[f'{name}_sum{{stage="source"}}'] == pytest.approx(0.025)
        assert samples[f'{name}_count{{stage="publisher"}}'] == 3
        assert samples[f'{name}_sum{{stage="publisher"}}'] == pytest.approx(0.23)
        assert samples['tickwire_publish_clock_skews_total{stage="source"}'] == 1
        assert samples['tickwire_publish_clock_skews_total{stage="publisher"}'] == 1


WRONG = {
    "a receive time in seconds": ({"recv_ts": T0_US // 1_000_000}, "recv_ts", "before 1973"),
    "a receive time in two days": ({"recv_ts": T0_US + 2 * 86_400 * SECOND_US}, "recv_ts", "a day ahead"),
    "a receive time as text": ({"recv_ts": "now"}, "recv_ts", "expected `int`"),
    "conditions as text": ({"conditions": "I"}, "conditions", "expected `array`"),
    "too many conditions": ({"conditions": ["I"] * 9}, "conditions", "length <= 8"),
    "an empty condition": ({"conditions": [""]}, "conditions", "length >= 1"),
    "an unknown tape": ({"conditions": ["I"], "tape": "D"}, "tape", "invalid enum value"),
    "a tape without conditions": ({"tape": "A"}, "tape", "a tape requires conditions"),
    "conditions with a bid": ({"conditions": ["I"], "bid": 1.0}, "bid", "another tick"),
    "a cancel with a volume": ({"cancel": True, "volume": 1.0}, "volume", "another tick"),
    "a misspelled field": ({"condition": ["I"]}, "condition", "did you mean conditions"),
}


@pytest.mark.parametrize("form", ["array", "lines", "upload"])
@pytest.mark.parametrize("case", WRONG)
async def test_invalid_facts_are_rejected_with_the_field(case: str, form: str) -> None:
    facts, field, message = WRONG[case]
    async with run_server(clock=ManualClock()) as server, httpx2.AsyncClient(base_url=server.url) as client:
        assert (await publish(client, [trade(10.0)])).status_code == 201
        answer = await publish(client, [trade(11.0, 5.0, 1, **facts)], form)
        assert (answer.status_code, answer.json()["field"]) == (400, field)
        assert message in str(answer.json())
        assert await values_of(client, "last", "volume") == (10.0, 100)


@pytest.mark.parametrize(
    ("tick", "field"),
    [
        ({"symbol": "A", "last": 1.0, "size": 1.0, "cancel": True}, "ts"),
        ({"symbol": "A", "ts": T0_US, "size": 1.0, "cancel": True}, "last"),
        ({"symbol": "A", "ts": T0_US, "last": 1.0, "cancel": True}, "size"),
        ({"symbol": "NEW", "ts": T0_US, "last": 1.0, "size": 1.0, "cancel": True}, "symbol"),
        ({"symbol": "A", "ts": T0_US, "size": 1.0, "conditions": ["I"]}, "conditions"),
    ],
)
async def test_an_incomplete_cancel_is_rejected(tick: dict[str, Any], field: str) -> None:
    async with run_server(clock=ManualClock()) as server, httpx2.AsyncClient(base_url=server.url) as client:
        assert (await publish(client, [trade(10.0)])).status_code == 201
        answer = await publish(client, [tick])
        assert (answer.status_code, answer.json()["field"], answer.json()["index"]) == (400, field, 0)


async def test_a_request_has_a_limit_of_cancels() -> None:
    cancels = [trade(10.0, 1.0, cancel=True)] * 101
    async with run_server(clock=ManualClock()) as server, httpx2.AsyncClient(base_url=server.url) as client:
        assert (await publish(client, [trade(10.0, 101.0)])).status_code == 201
        answer = await publish(client, cancels)
        assert (answer.status_code, answer.json()["field"]) == (400, "cancel")
        assert (await publish(client, cancels, "upload")).json() == {"accepted": 101, "repeated": 0}
        assert await values_of(client, "volume") == (0,)


@pytest.mark.parametrize("form", ["array", "lines", "upload"])
async def test_a_cancel_and_a_correction_reach_readers(form: str) -> None:
    ticks = [trade(10.0), trade(12.0, 5.0, 1), trade(11.0, 5.0, 2)]
    changes = [trade(12.0, 5.0, 1, cancel=True), trade(11.0, 5.0, 2, cancel=True), trade(10.5, 6.0, 2)]
    async with (
        run_server(clock=ManualClock()) as server,
        httpx2.AsyncClient(base_url=server.url) as client,
        open_stream(server.url, {"symbols": "A", "events": "correction"}) as stream,
    ):
        assert (await publish(client, [*ticks, *changes], form)).status_code == 201
        first, second = await stream.next_events(2, name="correction")
        assert (first.data["last"], first.data["size"], first.data["corrected_last"]) == (12.0, 5.0, None)
        assert (second.data["last"], second.data["corrected_last"], second.data["corrected_size"]) == (11.0, 10.5, 6.0)
        assert await values_of(client, "last", "high", "volume") == (10.5, 10.5, 106)
        if form == "upload":
            assert (await publish(client, [*ticks, *changes], form)).json() == {"accepted": 6, "repeated": 6}


FACT_LINES = [trade(10.0), trade(50.0, 5.0, 1, conditions=["I"], tape="C", recv_ts=T0_US + SECOND_US + 20_000)]
FACT_LINES += [trade(12.0, 7.0, 2), trade(12.0, 7.0, 2, cancel=True), trade(11.0, 6.0, 2)]
FACT_CSV = f"""symbol,ts,last,size,recv_ts,conditions,tape,cancel
A,{T0_US},10,100,,,C,
A,{T0_US + SECOND_US},50,5,{T0_US + SECOND_US + 20_000},"@,I",C,
A,{T0_US + 2 * SECOND_US},12,7,,@,,false
A,{T0_US + 2 * SECOND_US},12,7,,,C,true
A,{T0_US + 2 * SECOND_US},11,6,,,,
"""
# In these files, other columns than those of a tick require a mapping.
MAPPED_CSV = FACT_CSV.replace("recv_ts,conditions,tape,cancel", "received,cond,tape,void")
MAPPING = ("--map", "recv_ts=received,conditions=cond,tape=tape,cancel=void")
# The columns of a recording by `tickwire record`. A negative size withdraws a trade.
RECORDING = f"""id,ts_us,symbol,last,size,bid,bid_size,ask,ask_size,volume
x-1,{T0_US},A,10,100,,,,,100
x-2,{T0_US + SECOND_US},A,,5,,,,,105
x-3,{T0_US + 2 * SECOND_US},A,12,7,,,,,112
x-4,{T0_US + 2 * SECOND_US},A,12,-7,,,,,105
x-5,{T0_US + 2 * SECOND_US},A,11,6,,,,,111
"""


@pytest.mark.parametrize(
    ("name", "text", "options"),
    [
        ("ticks.ndjson", "".join(f"{json.dumps(line)}\n" for line in FACT_LINES), ()),
        ("ticks.csv", FACT_CSV, ()),
        ("ticks.csv", FACT_CSV, ("--speed", "1000")),
        ("ticks.csv", MAPPED_CSV, MAPPING),
        ("recording.csv", RECORDING, ()),
    ],
    ids=["lines", "csv", "csv at a speed", "mapped csv", "recording"],
)
async def test_the_publish_command_sends_the_facts_of_a_file(
    tmp_path: Path, name: str, text: str, options: tuple[str, ...]
) -> None:
    file = tmp_path / name
    file.write_text(text)
    async with (
        run_server(clock=ManualClock(), conditions="sip") as server,
        httpx2.AsyncClient(base_url=server.url) as client,
        open_stream(server.url, {"symbols": "A", "events": "correction"}) as stream,
    ):
        result = await invoke_command_in_thread("publish", file, "--url", server.url, *options)
        assert result.exit_code == 0, result.output
        (event,) = await stream.next_events(1, name="correction")
        expected = {"last": 12.0, "size": 7.0, "corrected_last": 11.0, "corrected_size": 6.0}
        assert event.data == {"symbol": "A", "ts": T0_US + 2 * SECOND_US, **expected}
        assert await values_of(client, "last", "high", "low") == (11.0, 11.0, 10.0)
        if name != "recording.csv":
            assert await values_of(client, "volume") == (111,)
            samples = await read_samples(client)
            assert samples['tickwire_publish_delay_seconds_count{stage="source"}'] == 1
            assert samples['tickwire_dirty_ticks_total{kind="condition"}'] == 1


@pytest.mark.parametrize("form", ["lines of standard input", "a file at a speed"])
async def test_the_publish_command_divides_batches_with_many_cancels(form: str, tmp_path: Path) -> None:
    """A cancel and the corrected trade after it stay together."""
    trades = [trade(20.0 + number, 5.0, 1) for number in range(250)]
    changes = [
        tick for each in trades for tick in ({**each, "cancel": True}, {**each, "last": each["last"] / 2, "size": 6.0})
    ]
    file = tmp_path / "ticks.ndjson"
    file.write_text("".join(f"{json.dumps(tick)}\n" for tick in (trade(30.0), *trades, *changes)))
    async with (
        run_server(clock=ManualClock()) as server,
        httpx2.AsyncClient(base_url=server.url) as client,
        open_stream(server.url, {"symbols": "A", "events": "correction"}) as stream,
    ):
        if form == "a file at a speed":
            result = await invoke_command_in_thread("publish", file, "--url", server.url, "--speed", "1000")
        else:
            result = await run_command_process("publish", "-", "--url", server.url, stdin=file)
        assert result.exit_code == 0, result.output
        events = await stream.next_events(len(trades), name="correction")
        assert [event.data["corrected_last"] for event in events] == [each["last"] / 2 for each in trades]
        assert await values_of(client, "volume") == (100 + 6 * len(trades),)


async def test_the_columns_of_other_files_are_no_conditions(tmp_path: Path) -> None:
    """Files of vendors have conditions with other codes, which must not change a price."""
    file = tmp_path / "ticks.csv"
    file.write_text(FACT_CSV.replace("cancel", "sequence").replace(",true", ",").replace(",false", ","))
    async with (
        run_server(clock=ManualClock(), conditions="sip") as server,
        httpx2.AsyncClient(base_url=server.url) as client,
    ):
        result = await invoke_command_in_thread("publish", file, "--url", server.url)
        assert "are not used" in result.errors
        assert await values_of(client, "high") == (50.0,)


async def test_the_python_publisher_sends_facts() -> None:
    async with (
        run_server(clock=ManualClock(), conditions="sip") as server,
        httpx2.AsyncClient(base_url=server.url) as client,
        Publisher(server.url) as publisher,
    ):
        await publisher.publish(FACT_LINES[:2])
        ticks = [PublishedTick(**line) for line in FACT_LINES[2:]]
        await publisher.upload(lambda stored: [ticks[stored:]], name="u")
        assert await values_of(client, "last", "high", "volume") == (11.0, 11.0, 111)


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_a_data_frame_has_facts(library: str) -> None:
    frames = pytest.importorskip(library)
    columns = {
        "symbol": ["A", "A", "A"],
        "ts": [T0_US, T0_US, T0_US],
        "last": [10.0, 50.0, 50.0],
        "size": [1.0, 2.0, 2.0],
        "recv_ts": [None, T0_US + 1, None],
        "conditions": [None, ["@", "I"], None],
        "cancel": [False, False, True],
    }
    ((first, second, third),) = FrameTicks(frames.DataFrame(columns)).batches()
    assert first == {"symbol": "A", "ts": T0_US, "last": 10.0, "size": 1.0, "cancel": False}
    assert (second["recv_ts"], second["conditions"], second["cancel"]) == (T0_US + 1, ["@", "I"], False)
    assert third["cancel"] is True
    assert "conditions" not in third


async def test_a_pair_is_not_split_between_the_parts_of_a_body() -> None:
    trades = [trade(float(number), 1.0, number) for number in range(1, 1_600)]
    ticks = [tick for each in trades for tick in (each, {**each, "cancel": True}, {**each, "last": each["last"] + 0.5})]
    lines = [json.dumps(tick).encode() + b"\n" for tick in ticks]

    async def body() -> AsyncIterator[bytes]:
        rng = random.Random(seed)
        begin = 0
        while begin < len(lines):
            end = begin + rng.randint(1, 3_000)
            yield b"".join(lines[begin:end])
            begin = end

    seed = random.randrange(2**32)
    print(f"seed {seed}")
    async with run_server(clock=ManualClock()) as server, httpx2.AsyncClient(base_url=server.url) as client:
        headers = {"content-type": "application/x-ndjson"}
        answer = await client.post(UPLOAD, content=body(), headers=headers)
        assert answer.json() == {"accepted": len(ticks), "repeated": 0}
        assert (await client.post(UPLOAD, content=body(), headers=headers)).json()["repeated"] == len(ticks)
        params = {"symbols": "A", "events": "correction", "since": "earliest", "delivery": "all"}
        async with open_stream(server.url, params) as stream:
            events = await stream.next_events(len(trades), name="correction")
        assert [event.data["corrected_last"] for event in events] == [each["last"] + 0.5 for each in trades]
        assert await values_of(client, "last", "volume") == (1_599.5, 1_599)
