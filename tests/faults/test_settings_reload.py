"""SIGHUP: the server reads its log level and keys again, and keeps its streams."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import httpx2
import pytest

from tickwire.app import App
from tickwire.errors import SettingsError
from tickwire.settings import Settings
from tickwire.testing.server import ServerProcess
from tickwire.testing.tokens import TEST_SECRET, bearer_header, sign_token
from tickwire.testing.waiting import wait_until
from tickwire.testing.wire import open_stream

NEW_SECRET = f"new {TEST_SECRET}"
HTTP_ONLY = ("--feed", "http", "--journal", "memory", "--auth", "secret")


def write_settings(folder: Path, secret: str, *lines: str) -> Path:
    file = folder / "tickwire.toml"
    file.write_text("\n".join([f'auth_secret = "{secret}"', *lines]))
    return file


async def status_with(url: str, secret: str) -> int:
    async with httpx2.AsyncClient(base_url=url) as client:
        headers = bearer_header(sign_token("admin", key=secret))
        return (await client.get("/v1/operations", headers=headers)).status_code


async def accepts(url: str, secret: str) -> bool:
    return await status_with(url, secret) == 200


async def test_a_hangup_replaces_the_keys_and_the_log_level(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    file = write_settings(tmp_path, TEST_SECRET, 'log_level = "warning"')
    async with ServerProcess(*HTTP_ONLY, "--config", str(file), cwd=tmp_path) as server:
        headers = bearer_header(sign_token("admin", key=TEST_SECRET))
        async with open_stream(server.url, headers=headers) as stream:
            await stream.next_events(1, name="welcome")
            assert await status_with(server.url, NEW_SECRET) == 401
            write_settings(tmp_path, NEW_SECRET, 'log_level = "info"', "max_symbols = 7")
            os.kill(server.pid, signal.SIGHUP)
            await wait_until(lambda: accepts(server.url, NEW_SECRET))
            assert await status_with(server.url, TEST_SECRET) == 401
            await wait_until(lambda: "reloaded the log level and the keys" in log.read_text())
            assert "restart the server to change these settings: max_symbols" in log.read_text()
            write_settings(tmp_path, "too short")
            os.kill(server.pid, signal.SIGHUP)
            await wait_until(lambda: "cannot reload the settings: the token secret has 9 bytes" in log.read_text())
            write_settings(tmp_path, NEW_SECRET, "prot = 1")
            os.kill(server.pid, signal.SIGHUP)
            await wait_until(lambda: log.read_text().count("cannot reload the settings: ") == 2)
            assert await accepts(server.url, NEW_SECRET)
            assert await server.stop() == 0
            # The stream has outlived the changes.
            (bye,) = await stream.next_events(1, name="bye")
            assert bye.data["reason"] == "drain"


async def test_keys_that_change_during_the_start_apply_after_it() -> None:
    """The start may wait for the journal. SIGHUP then checks the keys, and the server uses them after the start."""
    settings = Settings(feed="http", journal="memory", auth="secret", auth_secret=TEST_SECRET)
    app = App(settings)
    app.replace_keys(settings.model_copy(update={"auth_secret": NEW_SECRET}))
    with pytest.raises(SettingsError, match="the token secret has 9 bytes"):
        app.replace_keys(settings.model_copy(update={"auth_secret": "too short"}))
    async with app.running(), httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://a") as client:
        for secret, status in ((NEW_SECRET, 200), (TEST_SECRET, 401)):
            headers = bearer_header(sign_token("admin", key=secret))
            assert (await client.get("/v1/operations", headers=headers)).status_code == status


@pytest.mark.long
async def test_a_hangup_starts_workers_with_the_new_keys(tmp_path: Path) -> None:
    file = write_settings(tmp_path, TEST_SECRET)
    options = ("--feed", "http", "--auth", "secret", "--workers", "2", "--config", str(file))
    async with ServerProcess(*options, cwd=tmp_path) as server:
        assert await accepts(server.url, TEST_SECRET)
        write_settings(tmp_path, NEW_SECRET)
        os.kill(server.pid, signal.SIGHUP)
        # Until both workers are replaced, the kernel may choose the old worker.
        replaced = "worker 1 was replaced"
        await wait_until(lambda: replaced in (tmp_path / "server.log").read_text())
        assert {await status_with(server.url, NEW_SECRET) for _ in range(8)} == {200}
        assert await status_with(server.url, TEST_SECRET) == 401
        write_settings(tmp_path, "too short")
        os.kill(server.pid, signal.SIGHUP)
        await wait_until(lambda: "the worker processes keep the old settings" in (tmp_path / "server.log").read_text())
        assert {await status_with(server.url, NEW_SECRET) for _ in range(8)} == {200}
