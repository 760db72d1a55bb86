"""Streams over TLS: real clients, slow readers, a resume, and a certificate that is replaced while readers stay."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import uvloop

from tickwire.core.event import ticks_entry
from tickwire.core.tick import Tick, pack_ticks
from tickwire.server.transport import certificate as certificate_module
from tickwire.server.transport import protocol, stream_server
from tickwire.testing.certificates import write_certificate
from tickwire.testing.command_line import invoke_command
from tickwire.testing.proxy import FaultProxy
from tickwire.testing.server import RunningServer, ServerProcess, run_server
from tickwire.testing.waiting import wait_until
from tickwire.testing.wire import open_stream

ALL = {"delivery": "all"}


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[RunningServer]:
    certificate, key = write_certificate(tmp_path)
    async with run_server(tls_cert=str(certificate), tls_key=str(key), heartbeat=0.2) as running:
        yield running


def trust(tmp_path: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=tmp_path / "ca.pem")


async def publish(server: RunningServer, **prices: float) -> None:
    ticks = [Tick(symbol=symbol, ts=1_000_000, last=price) for symbol, price in prices.items()]
    await server.runtime.publish(ticks_entry(pack_ticks(ticks, now=0)))


@pytest.mark.parametrize("coding", ["identity", "gzip", "zstd"])
async def test_stream_resumes_over_tls_with_any_coding(server: RunningServer, tmp_path: Path, coding: str) -> None:
    headers = {"Accept-Encoding": coding}
    async with open_stream(server.url, ALL, headers=headers, tls=trust(tmp_path)) as stream:
        assert stream.headers.get("content-encoding", "identity") == coding
        await publish(server, A=1.0)
        await publish(server, A=2.0)
        first, second = await stream.next_events(2)
        assert (first.data["last"], second.data["last"]) == (1.0, 2.0)
    await publish(server, A=3.0)
    resume = {**headers, "Last-Event-ID": first.id}
    async with open_stream(server.url, ALL, headers=resume, tls=trust(tmp_path)) as stream:
        assert [event.data["last"] for event in await stream.next_events(2)] == [2.0, 3.0]


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_stalled_reader_is_bounded_and_gets_the_newest_state(tmp_path: Path, run: Callable[..., None]) -> None:
    """The encrypted bytes and the bytes before the encryption both have limits."""
    certificate, key = write_certificate(tmp_path)
    symbols = [f"S{number}" for number in range(200)]

    async def stall() -> None:
        async with (
            run_server(tls_cert=str(certificate), tls_key=str(key), send_buffer_bytes=64 * 1024) as server,
            FaultProxy(server.url) as proxy,
            open_stream(proxy.url, {"client_id": "slow"}, tls=trust(tmp_path)) as stream,
        ):
            assert (await stream.next_event()).name == "welcome"
            (reader,) = server.runtime.hub.roster.find_readers("slow")
            proxy.stall()
            price = 0.0
            while not reader.sink.is_full:
                price += 1
                await publish(server, **dict.fromkeys(symbols, price))
                await asyncio.sleep(0)
            waiting = reader.sink._transport.get_write_buffer_size()
            await publish(server, **dict.fromkeys(symbols, 0.5))
            assert reader.sink._transport.get_write_buffer_size() <= waiting < 200_000
            proxy.resume()
            seen: dict[str, float] = {}
            while seen != dict.fromkeys(symbols, 0.5):
                (event,) = await stream.next_events(1)
                seen[event.data["symbol"]] = event.data["last"]

    run(stall())


async def test_new_certificate_serves_new_connections_and_streams_go_on(
    server: RunningServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key that does not belong to the certificate changes nothing."""
    monkeypatch.setattr(stream_server, "CERTIFICATE_CHECK_TICKS", 1)
    old, url = trust(tmp_path), urlsplit(server.url)
    (tmp_path / "new").mkdir()
    certificate, key = write_certificate(tmp_path / "new")
    new = ssl.create_default_context(cafile=certificate)

    async def trusts(context: ssl.SSLContext) -> bool:
        try:
            _, writer = await asyncio.open_connection(url.hostname, url.port, ssl=context)
        except ssl.SSLCertVerificationError:
            return False
        writer.close()
        return True

    async with open_stream(server.url, ALL, tls=old) as stream:
        certificate.replace(tmp_path / "ca.pem")
        # After some heartbeats, the server has checked the files several times.
        for _ in range(3):
            assert await stream.next_event() is not None
        assert await trusts(old)
        key.replace(tmp_path / "key.pem")
        while not await trusts(new):
            await asyncio.sleep(0.01)
        await publish(server, A=7.0)
        assert (await stream.next_events(1))[0].data["last"] == 7.0


@pytest.mark.parametrize("removed", ["ca.pem", "key.pem"])
def test_a_file_that_disappears_during_a_reload_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, removed: str
) -> None:
    """The server would end if the reload raised an error."""
    present = certificate_module.Certificate(*write_certificate(tmp_path))
    context, check_file = present.context, certificate_module._check_file

    def check_and_remove(path: Path, field: str) -> None:
        check_file(path, field)
        if path.name == removed:
            path.unlink()

    monkeypatch.setattr(certificate_module, "_check_file", check_and_remove)
    os.utime(tmp_path / "ca.pem", (1, 1))
    present.reload_if_changed()
    assert present.context is context


@pytest.mark.parametrize("first_bytes", [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"", b"\x16\x03\x01\x02\x00\x01"])
async def test_failed_handshake_frees_the_connection(
    server: RunningServer, first_bytes: bytes, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The client speaks plain HTTP, or sends nothing or half a handshake until the time limit."""
    monkeypatch.setattr(protocol, "HEAD_TIMEOUT_S", 0.1)
    url, before = urlsplit(server.url), len(asyncio.all_tasks())
    reader, writer = await asyncio.open_connection(url.hostname, url.port)
    writer.write(first_bytes)
    assert b"HTTP" not in await reader.read()
    writer.close()
    await wait_until(lambda: len(asyncio.all_tasks()) <= before)
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_curl_reads_a_stream_of_a_server_process_until_the_server_stops(tmp_path: Path) -> None:
    """The client gets the last event of the stream, and the process ends with 0."""
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    certificate, key = write_certificate(tmp_path)
    options = ("--tls-cert", str(certificate), "--tls-key", str(key))
    async with ServerProcess(*options, "--journal", "memory", "--sender", "native", cwd=tmp_path) as server:
        assert server.url.startswith("https://")
        url = f"{server.url}/v1/stream?symbols=AAPL"
        command = ("curl", "-sN", "--compressed", "--cacert", str(certificate), url)
        curl = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        while not (await curl.stdout.readline()).startswith(b'data: {"symbol":"AAPL"'):
            pass
        assert await server.stop() == 0
        output, _ = await curl.communicate()
        assert b"event: bye" in output
        assert curl.returncode == 0


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("key missing", "cannot be read: No such file or directory"),
        ("readable key", "all users can read the key"),
        ("other key", "does not belong to the first certificate"),
        ("no certificate", "do not contain a certificate chain and a key in PEM format"),
        ("encrypted key", "is encrypted"),
        ("no key option", "--tls-cert needs --tls-key"),
    ],
)
def test_unusable_certificate_is_an_error_at_the_start(tmp_path: Path, damage: str, message: str) -> None:
    certificate, key = write_certificate(tmp_path, password=b"secret" if damage == "encrypted key" else None)
    if damage == "key missing":
        key.unlink()
    elif damage == "readable key":
        key.chmod(0o644)
    elif damage == "other key":
        (tmp_path / "other").mkdir()
        key = write_certificate(tmp_path / "other")[1]
    elif damage == "no certificate":
        certificate.write_text("hello")
    options = ["--tls-cert", certificate] + ([] if damage == "no key option" else ["--tls-key", key])
    result = invoke_command("serve", "--port", 0, "--journal", "memory", *options)
    assert result.exit_code == 2
    assert message in " ".join(result.errors.split())
