"""The commands of operators: status, config, backup and restore."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import httpx2
import pytest

from tickwire.testing.command_line import invoke_command, invoke_command_in_thread
from tickwire.testing.server import run_server
from tickwire.testing.tokens import TEST_SECRET, sign_token

# All tests set this variable, which overrides a file.
NO_PORT = {"TICKWIRE_PORT": None}


async def publish(url: str, *prices: float) -> None:
    async with httpx2.AsyncClient(base_url=url) as client:
        ticks = [{"symbol": "A", "last": price} for price in prices]
        assert (await client.post("/v1/quotes", json=ticks)).status_code == 201


async def last_price(url: str) -> float:
    async with httpx2.AsyncClient(base_url=url) as client:
        return (await client.get("/v1/quotes/A")).json()["last"]


async def test_status_shows_one_screen_and_fails_if_the_server_is_not_ready() -> None:
    async with run_server() as server:
        await publish(server.url, 1, 2)
        result = await invoke_command_in_thread("status", server.url)
        assert (result.exit_code, result.errors) == (0, "")
        lines = dict(line.split(maxsplit=1) for line in result.output.splitlines())
        assert lines["health"] == "ready"
        assert lines["feed"].startswith("http (live), running, newest tick ")
        assert lines["readers"].endswith(", 0 behind")
        server.app.begin_drain()
        result = await invoke_command_in_thread("status", server.url)
        assert result.exit_code == 1
        assert result.output.startswith("health   not ready\n         the server is stopping\n")


async def test_status_needs_a_token_of_an_admin() -> None:
    async with run_server(auth="secret", auth_secret=TEST_SECRET) as server:
        refused = await invoke_command_in_thread("status", server.url)
        allowed = await invoke_command_in_thread("status", server.url, env={"TICKWIRE_TOKEN": sign_token("admin")})
    assert refused.exit_code == 1
    assert "TICKWIRE_TOKEN" in refused.errors
    assert allowed.exit_code == 0


def test_config_names_the_origin_of_each_setting_and_masks_secrets(tmp_path: Path) -> None:
    file = tmp_path / "tickwire.toml"
    file.write_text(f'port = 9000\nheartbeat = 5.0\nauth_secret = "{TEST_SECRET}"\n')
    options = ("--heartbeat", "7", "--feed", "http", "--journal", "nats://ann:PASS@host", "--auth", "secret")
    env = {**NO_PORT, "TICKWIRE_MAX_READERS": "10", "TICKWIRE_CONFIG": str(file)}
    result = invoke_command("config", *options, "--json", env=env)
    assert (result.exit_code, result.errors) == (0, "")
    assert json.loads(result.output) == {
        "feed": {"value": "http", "origin": "--feed"},
        "journal": {"value": "nats://***@host", "origin": "--journal"},
        "port": {"value": "9000", "origin": str(file)},
        "heartbeat": {"value": "7.0", "origin": "--heartbeat"},
        "max_readers": {"value": "10", "origin": "TICKWIRE_MAX_READERS"},
        "auth": {"value": "secret", "origin": "--auth"},
        "auth_secret": {"value": "***", "origin": str(file)},
    }
    everything = invoke_command("config", *options, "--all", env=env).output
    assert TEST_SECRET not in everything
    assert "PASS" not in everything
    assert "replicas" in everything


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("prot = 9000", "port"),
        ("port = 99999", "port"),
        ('host = "0.0.0.0"', "--insecure"),
        ("port =", "tickwire.toml"),
    ],
)
def test_config_checks_a_file(tmp_path: Path, text: str, complaint: str) -> None:
    file = tmp_path / "tickwire.toml"
    file.write_text(text)
    result = invoke_command("config", "--config", file, env=NO_PORT)
    assert result.exit_code == 2
    assert complaint in result.errors


async def test_a_backup_of_a_running_server_is_restored(tmp_path: Path) -> None:
    journal, backup = tmp_path / "data" / "j", tmp_path / "backup"
    journal.parent.mkdir()
    settings = {"journal": f"sqlite:{journal}"}
    async with run_server(**settings) as server:
        await publish(server.url, *range(1, 1_001))
        publishing = asyncio.create_task(publish(server.url, *range(1_001, 2_001)))
        result = await invoke_command_in_thread("backup", journal, backup)
        await publishing
        assert (result.exit_code, result.errors) == (0, "")
        assert backup.stat().st_mode & 0o077 == 0
        epoch = server.runtime.journal.epoch
        await publish(server.url, 5)
        assert server.runtime.journal.unavailable_reason() is None
        again = await invoke_command_in_thread("backup", journal, backup)
        assert (again.exit_code, "exists" in again.errors) == (1, True)
        busy = await invoke_command_in_thread("restore", backup, journal, "--replace")
        assert (busy.exit_code, "in use by process" in busy.errors) == (1, True)
    present = await invoke_command_in_thread("restore", backup, journal)
    assert (present.exit_code, "--replace" in present.errors) == (1, True)
    restored = await invoke_command_in_thread("restore", backup, journal, "--replace")
    assert (restored.exit_code, restored.errors) == (0, "")
    assert [*journal.parent.glob("j-replaced-*")] != []
    async with run_server(**settings) as server:
        # The backup contains the first thousand ticks, and possibly the second thousand.
        assert await last_price(server.url) in (1_000, 2_000)
        assert server.runtime.journal.epoch != epoch
        await publish(server.url, 7)
        assert await last_price(server.url) == 7


async def test_a_damaged_backup_replaces_nothing(tmp_path: Path) -> None:
    journal, backup = tmp_path / "j", tmp_path / "backup"
    async with run_server(journal=f"sqlite:{journal}") as server:
        await publish(server.url, *range(1, 5_001))
        assert (await invoke_command_in_thread("backup", journal, backup)).exit_code == 0
    content = bytearray(backup.read_bytes())
    # Damage the pages in the middle of the file.
    content[len(content) // 3 : len(content) // 3 + 20_000] = bytes(20_000)
    backup.write_bytes(content)
    before = journal.read_bytes()
    result = await invoke_command_in_thread("restore", backup, journal, "--replace")
    assert (result.exit_code, "is a damaged journal file" in result.errors) == (1, True)
    assert journal.read_bytes() == before
