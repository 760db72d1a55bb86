"""`--workers N`: one port, several processes, kept running."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import socket
import sys
from pathlib import Path

import httpx2
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from tickwire.cli.bench.process import free_port
from tickwire.cli.workers import environment
from tickwire.clock import SystemClock
from tickwire.core.event import Kind
from tickwire.core.tick import unpack
from tickwire.journal.base import Retention
from tickwire.journal.nats.address import parse_address
from tickwire.journal.nats.journal import NatsJournal
from tickwire.settings import Settings, load_settings
from tickwire.testing.server import ServerProcess
from tickwire.testing.tokens import bearer, token
from tickwire.testing.wire import open_stream

READERS = 16


def free_ports(count: int) -> int:
    """The first of so many ports in a row that are free, below those from which connections to others go out."""
    while True:
        base = random.randrange(20_000, 32_000)
        try:
            with contextlib.ExitStack() as taken:
                for port in range(base, base + count):
                    taken.enter_context(socket.create_server(("127.0.0.1", port)))
                return base
        except OSError:
            continue


async def shares(base):
    """How many readers each worker says it has, on its own port."""
    async with httpx2.AsyncClient() as client:
        return [(await client.get(f"http://127.0.0.1:{port}/readyz")).json()["readers"] for port in (base, base + 1)]


async def ends(stream):
    """Read on until the stream ends; what it said last."""
    last = None
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, ValueError):
        while (event := await stream.event()) is not None:
            last = event
    return last


async def replaced(server, before):
    """Return once the processes of before are gone and as many others are there."""
    while len(now := children(server)) < len(before) or now & before:
        await asyncio.sleep(0.02)


def children(server):
    listed = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text()
    return {int(child) for child in listed.split()}


def variable(pid, name):
    """What a process was given as this variable."""
    pairs = (pair.partition(b"=") for pair in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"))
    return next(value for key, _, value in pairs if key == name.encode())


def role(pid):
    return variable(pid, "TICKWIRE_ROLE").decode()


@pytest.mark.slow
@pytest.mark.timeout(60)
async def test_workers_share_a_port_and_are_kept_running(nats, name, tmp_path):
    """Readers spread; a worker that is killed comes back, SIGHUP replaces each, SIGTERM drains all; ids go on."""
    base = free_ports(3)
    options = ("--workers", "2", "--metrics-port", str(base), "--journal", f"{nats.url}/{name}", "--rate", "5")
    server = ServerProcess(*options, cwd=tmp_path)
    async with server, contextlib.AsyncExitStack() as opened:
        streams = [await opened.enter_async_context(open_stream(server.url)) for _ in range(READERS)]
        seen = (await streams[0].events(50))[-1]
        spread = await shares(base)
        assert sum(spread) == READERS
        assert min(spread) > 0  # all at the same one: once in 30,000 runs
        victim = next(pid for pid in children(server) if role(pid) == "edge")
        os.kill(victim, signal.SIGKILL)
        await replaced(server, {victim})
        while len(children(server)) < 3:
            await asyncio.sleep(0.02)
        async with open_stream(server.url, {"delivery": "all"}, headers={"Last-Event-ID": seen.id}) as resumed:
            assert (await resumed.event()).data["resume"]["complete"]
            edges = {pid for pid in children(server) if role(pid) == "edge"}
            os.kill(server.pid, signal.SIGHUP)
            last = await ends(resumed)
            assert last.data["reason"] == "drain"
            await replaced(server, edges)
        async with open_stream(server.url) as after:
            assert (await after.events(1))[0].sequence > seen.sequence
            assert await server.stop() == 0
            assert (await ends(after)).name == "bye"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--workers", "2"), "--workers 2 takes several processes"),
        (("--role", "edge"), "--role edge takes several processes"),
        (("--workers", "2", "--role", "feed", "--journal", "nats://127.0.0.1"), "--role feed is one process"),
    ],
)
async def test_what_needs_a_shared_journal_says_so(tmp_path, options, says):
    """With an embedded journal, workers and roles are refused in one line that says what to do."""
    with pytest.raises(RuntimeError) as caught:
        await ServerProcess(*options, cwd=tmp_path).start()
    assert says in str(caught.value)
    assert "Traceback" not in str(caught.value)


@pytest.mark.parametrize("options", [("--workers", "2"), ("--role", "edge", "--metrics-port", "9")])
async def test_no_process_is_open_to_everybody_by_mistake(tmp_path, options):
    """Each kind of server refuses another address than loopback without tokens, its port for metrics included."""
    with pytest.raises(RuntimeError, match=r"without --auth, everybody who reaches 0\.0\.0\.0"):
        await ServerProcess(*options, "--journal", "nats://127.0.0.1", "--host", "0.0.0.0", cwd=tmp_path).start()


def test_workers_have_the_settings_of_who_starts_them(monkeypatch):
    """All of them, secrets too, in variables; beside those only what was meant for them."""
    monkeypatch.setenv("TICKWIRE_TOKEN", "is not for them")
    settings = Settings(auth="secret", auth_secret="s=1\n'\"$ä", auth_leeway=0.5, auth_query=True, data=Path("a b"))
    given = environment(settings, {"role": "edge"})
    for name in os.environ:
        monkeypatch.delenv(name)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert "TICKWIRE_TOKEN" not in given
    assert load_settings({}) == settings.model_copy(update={"role": "edge"})


@pytest.mark.slow
@pytest.mark.timeout(60)
async def test_workers_ask_for_tokens(nats, name, tmp_path):
    """The key reaches each worker, a ticket of one is good at another, once; no secret is said anywhere."""
    private = ed25519.Ed25519PrivateKey.generate()
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    (tmp_path / "key.pem").write_bytes(private.public_key().public_bytes(serialization.Encoding.PEM, form))
    base = free_ports(3)
    options = ("--workers", "2", "--metrics-port", str(base), "--auth", "key", "--auth-key-file", "key.pem")
    server = ServerProcess(*options, "--host", "0.0.0.0", "--journal", f"{nats.url}/{name}", cwd=tmp_path)
    async with server, httpx2.AsyncClient() as client:
        workers = [f"http://127.0.0.1:{base + number}" for number in range(2)]
        headers = bearer(token("metrics", key=private, algorithm="EdDSA"))
        for url in workers:
            assert (await client.get(f"{url}/metrics")).status_code == 401
            assert (await client.get(f"{url}/metrics", headers=headers)).status_code == 200
        answer = await client.post(f"{workers[0]}/v1/tickets", headers=headers)
        for url, status in ((workers[1], 200), (workers[0], 401)):
            async with open_stream(url, {"ticket": answer.json()["ticket"]}) as stream:
                assert stream.status == status
        pids = children(server)
        secrets = {variable(pid, "TICKWIRE_TICKET_SECRET") for pid in pids}
        seen = b"".join(Path(f"/proc/{pid}/cmdline").read_bytes() for pid in {*pids, server.pid})
        seen += (tmp_path / "server.log").read_bytes() + "".join(server.lines).encode()
        (secret,) = secrets
        assert len(secret) > 32
        assert secret not in seen
        assert await server.stop() == 0


@pytest.mark.slow
@pytest.mark.timeout(60)
async def test_a_leader_that_was_paused_appends_nothing_more(nats, name, tmp_path):
    """Stopped in the middle of its work and let go when another runs the feed: it stands back, no tick comes twice."""
    options = ("--feed", "simulator", "--rate", "20", "--role", "feed", "--journal", f"{nats.url}/{name}")
    first, second = ServerProcess(*options, cwd=tmp_path), ServerProcess(*options, cwd=tmp_path)
    journal = None
    try:
        await first.start()
        await leading(first)
        await second.start()
        journal = await NatsJournal.open(parse_address(nats.url, name), Retention(), SystemClock())
        os.kill(first.pid, signal.SIGSTOP)
        await leading(second)
        claim = journal.head
        os.kill(first.pid, signal.SIGCONT)
        while await leads(first):
            await asyncio.sleep(0.05)
        while journal.head < claim + 500:
            await asyncio.sleep(0.05)
        times = [
            int(ts) for record in await journal.read(0, limit=1_000_000) if record.kind is Kind.TICKS
            for ts in unpack(record.data)["ts"]
        ]  # fmt: skip
        assert times == sorted(times)  # one market, whose time never steps back
        assert await leads(second)
    finally:
        for each in (first, second):
            await each.kill()
        if journal is not None:
            await journal.close()


async def leads(server):
    async with httpx2.AsyncClient() as client:
        return (await client.get(f"{server.url}/readyz")).json()["leads"]


async def leading(server):
    """Return once the process runs the feed."""
    while not await leads(server):
        await asyncio.sleep(0.05)


@pytest.mark.slow
@pytest.mark.timeout(60)
async def test_no_worker_outlives_who_started_it(nats, name, tmp_path):
    """A supervisor that is killed cannot tell anybody: its edges and its feed drain and end all the same."""
    options = ("--workers", "2", "--journal", f"{nats.url}/{name}")
    async with ServerProcess(*options, cwd=tmp_path) as server, open_stream(server.url) as stream:
        await stream.events(1)
        left = children(server)
        assert sorted(map(role, left)) == ["edge", "edge", "feed"]
        await server.kill()
        assert (await ends(stream)).data["reason"] == "drain"
    while any(Path(f"/proc/{pid}").exists() for pid in left):
        await asyncio.sleep(0.02)


async def test_a_worker_ends_with_its_parent_before_it_serves(tmp_path):
    """Also one that still waits for NATS, which nobody answers for."""
    variables = {**os.environ, "TICKWIRE_PARENT": "1", "PYTHONUNBUFFERED": "1"}
    command = (
        sys.executable,
        "-m",
        "tickwire",
        "serve",
        "--role",
        "edge",
        "--journal",
        f"nats://127.0.0.1:{free_port()}",
    )
    began = asyncio.get_running_loop().time()
    process = await asyncio.create_subprocess_exec(
        *command, env=variables, cwd=tmp_path, stderr=asyncio.subprocess.PIPE
    )
    await process.communicate()
    assert asyncio.get_running_loop().time() - began < 5
