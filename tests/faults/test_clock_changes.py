"""The wall clock of the machine is set forward or back: ages stay correct, and no stored data is lost."""

from __future__ import annotations

import httpx2
import pytest

from tickwire.testing.clock import ManualClock
from tickwire.testing.server import RunningServer, run_server
from tickwire.testing.tokens import TEST_SECRET, bearer_header, sign_token
from tickwire.testing.wire import open_stream

HOUR_S, DAY_S = 3600.0, 86_400.0
STALE_AFTER_S = 10.0
SHIFTS = (-400 * DAY_S, -DAY_S, -HOUR_S, -1.0, 1.0, HOUR_S, DAY_S)


async def publish(client: httpx2.AsyncClient, last: float, **tick: object) -> httpx2.Response:
    return await client.post("/v1/quotes", json=[{"symbol": "A", "last": last, "size": 1, **tick}])


@pytest.mark.parametrize("shift_s", SHIFTS)
async def test_silence_is_noticed_whatever_the_wall_clock_does(shift_s: float) -> None:
    clock = ManualClock()
    async with (
        run_server(clock=clock, stale_after=STALE_AFTER_S) as server,
        httpx2.AsyncClient(base_url=server.url) as client,
    ):
        assert (await publish(client, 1.0)).status_code == 201
        clock.set_wall_clock(clock.now() + round(shift_s * 1e9))
        await clock.advance(STALE_AFTER_S - 2)
        ready = await client.get("/readyz")
        assert (ready.status_code, ready.json()["last_tick_age"]) == (200, STALE_AFTER_S - 2)
        await clock.advance(4)
        ready = await client.get("/readyz")
        assert (ready.status_code, ready.json()["last_tick_age"]) == (503, STALE_AFTER_S + 2)
        assert ready.json()["detail"] == "the feed http is stale"
        assert (await publish(client, 2.0)).status_code == 201
        ready = await client.get("/readyz")
        assert (ready.status_code, ready.json()["last_tick_age"]) == (200, 0.0)


async def test_old_prices_are_stale_after_a_restart_without_ticks(tmp_path) -> None:
    """After a restart, the server is stale if no tick arrives. A server that has never received a price stays ready."""
    clock = ManualClock()
    options = {"journal": f"sqlite:{tmp_path}/j", "clock": clock, "stale_after": STALE_AFTER_S}
    async with run_server(**options) as server, httpx2.AsyncClient(base_url=server.url) as client:
        await clock.advance(2 * STALE_AFTER_S)
        ready = await client.get("/readyz")
        assert (ready.status_code, ready.json()["state"]) == (200, "waiting")
        await publish(client, 1.0)
    async with run_server(**options) as server, httpx2.AsyncClient(base_url=server.url) as client:
        ready = await client.get("/readyz")
        assert (ready.status_code, ready.json()["state"]) == (200, "waiting")
        await clock.advance(STALE_AFTER_S + 2)
        ready = await client.get("/readyz")
        assert (ready.status_code, ready.json()["detail"]) == (503, "the feed http is stale")
        async with open_stream(server.url, {"events": "status"}) as stream:
            # The first status may come from the previous server.
            while (await stream.next_events(1, name="status"))[0].data["state"] != "stale":
                pass


def token(clock: ManualClock, **claims: object) -> dict[str, str]:
    now = clock.now() / 1e9
    return bearer_header(sign_token("publish admin", iat=now - 1, exp=now + HOUR_S, **claims))


async def closed_candles(server: RunningServer, headers: dict[str, str]) -> list[dict]:
    async with httpx2.AsyncClient(base_url=server.url, headers=headers) as client:
        return [each for each in (await client.get("/v1/candles/A?interval=1s")).json() if each["closed"]]


@pytest.mark.parametrize("shift_s", [-400 * DAY_S, -DAY_S, -HOUR_S, DAY_S])
async def test_restart_at_another_time_continues_the_history(tmp_path, shift_s: float) -> None:
    """Ids continue in the same epoch, closed candles stay, new prices appear, and a new token is valid."""
    clock = ManualClock()
    options = {"journal": f"sqlite:{tmp_path}/j", "clock": clock, "auth": "secret", "auth_secret": TEST_SECRET}
    async with run_server(**options) as server:
        headers = token(clock)
        async with httpx2.AsyncClient(base_url=server.url, headers=headers) as client:
            for number in range(5):
                assert (await publish(client, float(number))).status_code == 201
                await clock.advance(1)
            last_id = (await publish(client, 5.0)).json()["last_id"]
        candles: list[dict] = []
        # The clock moves on while the server closes the last candle.
        while len(candles) < 6:
            await clock.advance(6)
            candles = await closed_candles(server, headers)
        assert [candle["close"] for candle in candles] == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    clock.set_wall_clock(clock.now() + round(shift_s * 1e9))
    async with run_server(**options) as server:
        headers = token(clock)
        resume = {**headers, "Last-Event-ID": last_id}
        async with (
            httpx2.AsyncClient(base_url=server.url, headers=headers) as client,
            open_stream(server.url, {"delivery": "all"}, headers=resume) as stream,
        ):
            receipt = (await publish(client, 9.0)).json()
            (quote,) = await stream.next_events(1)
            assert (quote.id, quote.data["last"]) == (receipt["last_id"], 9.0)
            assert quote.id.partition("-")[0] == last_id.partition("-")[0]
            assert quote.sequence > int(last_id.partition("-")[2])
            assert (await client.get("/readyz")).status_code == 200
        assert (await closed_candles(server, headers))[: len(candles)] == candles
