"""`--instruments`: names and other reference data for the symbols of any feed."""

from __future__ import annotations

from pathlib import Path

import httpx2
import pytest

from tickwire.errors import InputError
from tickwire.testing.server import run_server
from tickwire.testing.wire import open_stream

TICKS = [{"symbol": "ACME", "last": 110.0}, {"symbol": "OTHER", "last": 5.0}]


def write_instruments(path: Path, eps: float, prev_close: float = 100.0) -> Path:
    path.write_text(f"symbol,name,sector,prev_close,eps,shares\nACME,Acme,Energy,{prev_close},{eps},1000\n")
    return path


async def test_reference_data_reaches_quotes_filters_and_instruments(tmp_path: Path) -> None:
    path = write_instruments(tmp_path / "i.csv", eps=10)
    async with run_server(instruments=str(path)) as server, httpx2.AsyncClient(base_url=server.url) as client:
        await client.post("/v1/quotes", json=TICKS)
        quotes = {each["symbol"]: each for each in (await client.get("/v1/quotes")).json()}
        assert (
            quotes["ACME"] | {"change": 10.0, "change_rate": 10.0, "pe": 11.0, "market_cap": 110_000.0}
            == quotes["ACME"]
        )
        assert quotes["OTHER"]["change_rate"] is None
        (instrument,) = (await client.get("/v1/instruments")).json()
        assert (instrument["symbol"], instrument["name"], instrument["sector"]) == ("ACME", "Acme", "Energy")
        async with open_stream(server.url, {"filter": "sector = 'Energy' and pe < 12"}) as stream:
            (matches,) = await stream.next_events(1, name="matches")
    assert matches.data["symbols"] == ["ACME"]


async def test_a_new_file_takes_effect_after_a_restart(tmp_path: Path) -> None:
    """Earnings and shares change at once. The previous close stays, because the market knows its own."""
    journal = f"sqlite:{tmp_path}/j"
    async with run_server(journal=journal) as server, httpx2.AsyncClient(base_url=server.url) as client:
        await client.post("/v1/quotes", json=TICKS)
        assert (await client.get("/v1/quotes/ACME")).json()["pe"] is None
    for eps, prev_close in ((10, 100.0), (20, 50.0)):
        path = write_instruments(tmp_path / "i.csv", eps, prev_close)
        async with (
            run_server(journal=journal, instruments=str(path)) as server,
            httpx2.AsyncClient(base_url=server.url) as client,
        ):
            quote = (await client.get("/v1/quotes/ACME")).json()
            assert (quote["pe"], quote["prev_close"], quote["last"]) == (110.0 / eps, 100.0, 110.0)
            await client.post("/v1/quotes", json=TICKS)


async def test_the_file_replaces_reference_data_of_the_simulator(tmp_path: Path) -> None:
    path = tmp_path / "i.json"
    path.write_text('[{"symbol":"AAPL","name":"Apple","name_zh":"苹果"}]', encoding="utf-8")
    async with (
        run_server(feed="simulator", instruments=str(path)) as server,
        httpx2.AsyncClient(base_url=server.url) as client,
    ):
        (apple,) = (await client.get("/v1/instruments?symbols=AAPL")).json()
    assert (apple["name"], apple["name_zh"], apple["tick_size"]) == ("Apple", "苹果", 0.01)


async def test_an_invalid_file_stops_the_start(tmp_path: Path) -> None:
    path = tmp_path / "i.csv"
    path.write_text("symbol,eps\nA,much\n")
    with pytest.raises(InputError, match=r"i\.csv line 2: eps is 'much'"):
        async with run_server(instruments=str(path)):
            pass
