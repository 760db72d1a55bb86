"""The settings that SIGHUP reads again."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from tickwire.auth_wiring import check_keys
from tickwire.cli.settings_reload import SettingsReloader
from tickwire.settings import Settings


@pytest.fixture(autouse=True)
def _root_log_level() -> Iterator[None]:
    level = logging.getLogger().level
    yield
    logging.getLogger().setLevel(level)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"auth_key_file": "missing.pem"}, "cannot read the key file missing.pem: No such file"),
        ({"tls_cert": "cert.pem"}, "--tls-cert needs --tls-key"),
    ],
)
def test_a_reload_with_an_unusable_setting_changes_nothing(
    caplog: pytest.LogCaptureFixture, changes: dict[str, str], complaint: str
) -> None:
    settings = Settings(auth="key", auth_key_file="key.pem", log_level="warning")
    new = settings.model_copy(update={**changes, "log_level": "debug"})
    assert SettingsReloader(lambda: new, settings).reload(check_keys) is None
    assert logging.getLogger().level != logging.DEBUG
    assert complaint in caplog.text


def test_a_change_that_needs_a_restart_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """A later reload logs further changes, and a change that was undone in between."""
    start = Settings()
    loaded = [
        *[Settings(max_symbols=7)] * 2,
        Settings(max_symbols=7, data=Path("other")),
        start,
        Settings(max_symbols=7),
    ]
    reloader = SettingsReloader(iter(loaded).__next__, start)
    for _ in loaded:
        assert reloader.reload(check_keys) is not None
    assert [message.partition("these settings: ")[2] for message in caplog.messages] == [
        "max_symbols",
        "data, max_symbols",
        "max_symbols",
    ]
