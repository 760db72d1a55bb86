"""`tickwire publish -` and single ticks of the Python client."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import math
import signal
import sys
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest

import tickwire
from tickwire.errors import BatchRowError
from tickwire.testing.server import RunningServer, run_server
from tickwire.testing.waiting import wait_until

CSV = b"time,symbol,price\n2026-01-02T15:00:00Z,AAPL,187.25\n2026-01-02T15:00:01Z,MSFT,480.1\n"
NDJSON = b'{"symbol":"AAPL","last":187.25}\n\n{"symbol":"MSFT","last":480.1}'
VENDOR_NDJSON = b'{"time":"2026-01-02T15:00:00Z","ticker":"AAPL","price":187.25}\n' + (
    b'{"time":"2026-01-02T15:00:01Z","ticker":"MSFT","price":480.1}\n'
)


@contextlib.asynccontextmanager
async def run_publish(url: str, *options: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tickwire", "publish", "-", "--url", url, *options),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


def last_prices(server: RunningServer) -> dict[str, float]:
    return server.runtime.hub.board.last_prices()


@pytest.mark.parametrize(
    "data", [CSV, gzip.compress(CSV), NDJSON, VENDOR_NDJSON], ids=["csv", "gzip", "json", "vendor"]
)
async def test_standard_input_may_have_the_formats_of_a_file(data: bytes) -> None:
    async with run_server() as server, run_publish(server.url) as process:
        output, errors = await process.communicate(data)
        assert process.returncode == 0, errors
        assert output.decode() == f"2 ticks published to {server.url}\n"
        assert last_prices(server) == {"AAPL": 187.25, "MSFT": 480.1}


async def test_lines_are_sent_as_they_arrive_until_ctrl_c() -> None:
    """The command sends a line only after the whole line has arrived."""
    async with run_server() as server, run_publish(server.url) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for price in (1.0, 2.0, 3.0):
            process.stdin.write(f'{{"symbol":"A","last":{price}}}\n{{"symbol":"B",'.encode())
            await wait_until(lambda price=price: last_prices(server).get("A") == price)
            process.stdin.write(f'"last":{price}}}\n'.encode())
            await wait_until(lambda price=price: last_prices(server).get("B") == price)
        process.send_signal(signal.SIGINT)
        assert (await process.stdout.read()).decode() == f"6 ticks published to {server.url}\n"


async def test_ctrl_c_loses_no_cancel_that_waits_for_the_corrected_trade() -> None:
    trade = '{"symbol":"A","ts":1767625200000000,"last":2.0,"size":1'
    async with run_server() as server, run_publish(server.url) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b'{"symbol":"B","last":1.0}\n')
        process.stdin.write(f'{trade}}}\n{trade},"cancel":true}}\n'.encode())
        await wait_until(lambda: last_prices(server).get("A") == 2.0)
        process.send_signal(signal.SIGINT)
        assert (await process.stdout.read()).decode() == f"3 ticks published to {server.url}\n"


@pytest.mark.parametrize(
    ("options", "data", "message"),
    [
        ((), b'{"symbol":"A","last":1}\n{"symbol":"A","last":"x"}\n', "standard input line 2: Expected `float`"),
        ((), b'{"symbol":"A","last":1}\n{"symbol":"A","bid":NaN}\n', "standard input line 2: bid: NaN is not a number"),
        ((), b"symbol,last\nA,x\n", "tickwire: standard input line 2, column last: expected a number"),
        ((), b'{"symbol":"A","last":NaN}\n', "tickwire: standard input line 1: expected a JSON object"),
        ((), b'[{"symbol":"A","last":1}]', "tickwire: standard input is a JSON array: write one object per line"),
        ((), b"time,price\n2026-01-02T15:00:00Z,1\n", "standard input has no column of symbols (add --symbol SYMBOL)"),
        ((), b"", "standard input is empty"),
        (("--symbol", "A"), b"time,price\n2026-01-02T15:00:00Z,x\n", "standard input line 2"),
    ],
)
async def test_wrong_input_is_named(options: tuple[str, ...], data: bytes, message: str) -> None:
    async with run_server() as server, run_publish(server.url, *options) as process:
        _, errors = await process.communicate(data)
        assert process.returncode == 2
        assert message in errors.decode()
        assert "Traceback" not in errors.decode()
        # The lines before the wrong line are stored.
        assert last_prices(server) == ({"A": 1.0} if data.startswith(b'{"symbol":"A","last":1}') else {})


async def test_publisher_accepts_one_tick_and_numbers_of_numpy() -> None:
    async with run_server() as server, tickwire.Publisher(server.url) as publisher:
        ticks: list[Any] = [
            {"symbol": "A", "last": 1.5},
            tickwire.Tick(symbol="B", last=2.5),
            {"symbol": "C", "last": np.float32(3.5), "size": np.int64(2)},
        ]
        for tick in ticks:
            receipt = await publisher.publish(tick)
            assert receipt.first_id == receipt.last_id
        assert last_prices(server) == {"A": 1.5, "B": 2.5, "C": 3.5}


NUMBER_FIELDS = [name for name in tickwire.Tick.__struct_fields__ if name not in ("symbol", "ts")]


@pytest.mark.parametrize(
    "value", [math.nan, math.inf, -math.inf, np.float64("nan"), np.datetime64("NaT", "ns"), object()]
)
@pytest.mark.parametrize("field", NUMBER_FIELDS)
async def test_publisher_names_a_value_that_is_no_number(field: str, value: Any) -> None:
    """The publisher sends nothing: JSON has no NaN, and null would be an empty side of the order book."""
    async with tickwire.Publisher("http://127.0.0.1:9", attempts=1) as publisher:
        rows = [{"symbol": "A", "bid": None, "last": 1.0}, {"symbol": "A", field: value}]
        with pytest.raises(BatchRowError, match=f"tick 1, {field}: ") as caught:
            await publisher.publish(rows)
    assert (caught.value.index, caught.value.field) == (1, field)
    assert caught.value.hint is not None
