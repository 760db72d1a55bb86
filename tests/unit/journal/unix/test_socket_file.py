"""The file of the owner's socket."""

from __future__ import annotations

import socket
import stat

import pytest

from tickwire.errors import JournalError
from tickwire.journal.unix.socket_file import open_listener, short_address, socket_path


def connect(path):
    client = socket.socket(socket.AF_UNIX)
    with client, short_address(path) as address:
        client.connect(address)


def test_only_the_user_may_connect(tmp_path):
    path = socket_path(tmp_path / "x.journal")
    with open_listener(path):
        assert path == tmp_path.resolve() / "x.journal-socket"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        connect(path)


def test_the_socket_of_a_killed_owner_is_replaced(tmp_path):
    path = socket_path(tmp_path / "x.journal")
    open_listener(path).close()
    with pytest.raises(ConnectionRefusedError):
        connect(path)
    with open_listener(path):
        connect(path)
    assert [each.name for each in tmp_path.iterdir()] == ["x.journal-socket"]


@pytest.mark.parametrize(("folders", "name"), [(10, "x.journal"), (0, "x" * 200), (10, "ü" * 100)])
def test_long_paths_are_accepted(tmp_path, folders, name):
    folder = tmp_path.joinpath(*["long-folder-name"] * folders)
    folder.mkdir(parents=True, exist_ok=True)
    path = socket_path(folder / name)
    with open_listener(path):
        connect(path)


def test_a_missing_folder_is_an_error(tmp_path):
    with pytest.raises(JournalError, match=r"cannot open the socket .* for other processes"):
        open_listener(tmp_path / "missing" / "x-socket")
