"""The proxies of deploy/ forward each event at once, and hold requests while the server restarts."""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path
from time import perf_counter

import httpx2
import pytest

import tickwire
from tickwire.testing.server import ServerProcess, run_server
from tickwire.testing.wire import open_stream

from .conftest import DEPLOY, PROXIES

# A proxy forwards an event faster than this, even on a busy machine. The default settings of HAProxy delay an event for
# longer.
MAX_DELAY_S = 0.1
CONFIGURATIONS = ("*.cfg", "*.conf", "*.vcl", "*Caddyfile", "envoy.yaml", "traefik.yaml")
SMALL_QUOTES = {"symbols": "A", "fields": "last"}


def port_of(url: str) -> int:
    """Return the port of a URL."""
    return int(url.rpartition(":")[2])


@pytest.mark.parametrize("name", PROXIES)
async def test_each_event_is_forwarded_at_once(name: str, run_proxy) -> None:
    """The test publishes an event only after the reader has received the previous one.

    Several events must arrive within 0.1 s. On a busy machine, this takes more attempts.
    """
    async with run_server(trusted_proxies="127.0.0.1") as server, tickwire.Publisher(server.url) as publisher:
        port = port_of(server.url)
        async with run_proxy(name, port, port) as url:
            for coding in ("identity", "gzip"):
                delays: list[float] = []
                async with open_stream(url, SMALL_QUOTES, headers={"Accept-Encoding": coding}) as stream:
                    await stream.next_events(1, name="welcome")
                    while sum(delay < MAX_DELAY_S for delay in delays) < 5 and len(delays) < 50:
                        started_at = perf_counter()
                        await publisher.publish([{"symbol": "A", "last": len(delays)}])
                        await stream.next_events(1)
                        delays.append(perf_counter() - started_at)
                print(f"{name}, {coding}: {sorted(round(delay * 1000, 1) for delay in delays)} ms")
                assert sum(delay < MAX_DELAY_S for delay in delays) == 5


@pytest.mark.parametrize(
    "name",
    [
        "nginx",
        *(
            pytest.param(name, marks=pytest.mark.long)
            for name in ("haproxy", "apache", "caddy", "varnish", "envoy", "traefik")
        ),
    ],
)
async def test_a_client_cannot_invent_its_address(name: str, run_proxy, caplog) -> None:
    """The proxy adds the last address in X-Forwarded-For, and the server uses this address."""
    caplog.set_level(logging.INFO, "tickwire.requests")
    async with run_server(trusted_proxies="127.0.0.1", hosts="*") as server:
        port = port_of(server.url)
        async with run_proxy(name, port, port) as url:
            transport = httpx2.AsyncHTTPTransport(local_address="127.0.0.2")
            async with httpx2.AsyncClient(transport=transport) as client:
                answer = await client.get(f"{url}/v1/quotes", headers={"X-Forwarded-For": "9.9.9.9"})
                assert answer.status_code == 200
    (line,) = [record.getMessage() for record in caplog.records if record.name == "tickwire.requests"]
    assert json.loads(line)["address"] == "127.0.0.2"


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "attempts"),
    [("nginx", 2), ("haproxy", 1), ("apache", 1), ("caddy", 1), ("varnish", 1), ("envoy", 1), ("traefik", 1)],
)
async def test_a_full_server_is_not_asked_again_and_again(name: str, attempts: int, run_proxy) -> None:
    """A proxy forwards the answer 503 of a full server. nginx first asks its second server: here, the same server."""
    async with run_server(max_readers=1) as server, open_stream(server.url) as reader:
        await reader.next_events(1, name="welcome")
        port = port_of(server.url)
        async with run_proxy(name, port, port) as url, open_stream(url) as refused:
            assert refused.status == 503
        async with httpx2.AsyncClient(base_url=server.url) as client:
            metrics = (await client.get("/metrics")).text
    assert f'tickwire_refused_total{{reason="readers"}} {attempts}' in metrics


@pytest.mark.long
@pytest.mark.parametrize("name", ["nginx", "haproxy", "caddy", "compose-caddy", "envoy", "traefik"])
async def test_a_request_during_a_restart_waits_for_the_server(name: str, run_proxy, tmp_path: Path) -> None:
    """The proxy does not answer 502 or 503 when the server refuses a connection.

    Behind nginx, a second process answers.
    """
    options = ("--feed", "http", "--data", str(tmp_path))
    async with ServerProcess(*options, cwd=tmp_path) as server, run_server() as second:
        port = port_of(server.url)
        async with run_proxy(name, port, port_of(second.url)) as url, httpx2.AsyncClient() as client:
            await client.get(f"{url}/v1/quotes")
            await server.kill()
            waiting = [asyncio.create_task(client.get(f"{url}/v1/quotes", timeout=60)) for _ in range(4)]
            async with ServerProcess(*options, "--port", str(port), cwd=tmp_path):
                assert [(await answer).status_code for answer in waiting] == [200] * 4


def test_every_configuration_is_tested() -> None:
    files = {path.relative_to(DEPLOY).as_posix() for pattern in CONFIGURATIONS for path in DEPLOY.rglob(pattern)}
    assert files == {proxy.file for proxy in PROXIES.values()}


@pytest.mark.long
async def test_haproxy_uses_the_other_server_while_one_is_down(run_proxy, tmp_path: Path) -> None:
    """No request fails when a server ends, before and after the health check has noticed."""
    async with ServerProcess("--feed", "http", cwd=tmp_path) as first, run_server() as second:
        ports = port_of(first.url), port_of(second.url)
        async with run_proxy("haproxy-two-servers", *ports) as url, httpx2.AsyncClient() as client:
            await first.kill()
            assert {(await client.get(f"{url}/v1/quotes")).status_code for _ in range(20)} == {200}


@pytest.mark.long
async def test_apache_asks_the_server_again_after_a_restart(run_proxy, tmp_path: Path) -> None:
    """Apache answers 503 while the server is down, but not longer."""
    options = ("--feed", "http", "--data", str(tmp_path))
    async with ServerProcess(*options, cwd=tmp_path) as server:
        port = port_of(server.url)
        async with run_proxy("apache", port) as url, httpx2.AsyncClient() as client:
            await server.kill()
            assert (await client.get(f"{url}/v1/quotes")).status_code == 503
            async with ServerProcess(*options, "--port", str(port), cwd=tmp_path):
                assert (await client.get(f"{url}/v1/quotes")).status_code == 200
