"""SIGHUP: read the settings again, and apply the settings that can change while the server runs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from tickwire.errors import TickwireError
from tickwire.settings import Settings
from tickwire.settings_rules import check_settings

RELOADABLE = ("log_level", "auth_secret", "auth_secret_previous", "ticket_secret", "auth_key_file")
"""The settings that can change while the server runs. The content of the key file may change, too."""

log = logging.getLogger(__name__)


class SettingsReloader:
    """Reads the settings of the command again, with the function `load`.

    `load` raises TickwireError if a setting is invalid.
    """

    def __init__(self, load: Callable[[], Settings], settings: Settings) -> None:
        self._load = load
        self._settings = settings
        # The names of the changed settings in the newest warning. A change of these settings needs a restart.
        self._pending: dict[str, Any] = {}

    def reload(self, check: Callable[[Settings], None]) -> Mapping[str, Any] | None:
        """Read the settings again, and return the settings that can change while the server runs. Return None if a
        setting is not valid.

        `check` receives the settings that the server will have, and raises TickwireError if the server cannot use them.
        Log a warning if another setting has changed, because the change needs a restart.
        """
        try:
            new = self._load()
            check_settings(new)
            changes = {name: getattr(new, name) for name in RELOADABLE}
            check(self._settings.model_copy(update=changes))
        except TickwireError as error:
            log.error("cannot reload the settings: %s; the server keeps the old settings", error)
            return None
        self._warn_of_restart(new)
        logging.getLogger().setLevel(new.log_level.upper())
        return changes

    def _warn_of_restart(self, new: Settings) -> None:
        """Log the changed settings that need a restart, unless the last warning was for the same changes."""
        pending = {
            name: value
            for name in Settings.model_fields
            if name not in RELOADABLE and (value := getattr(new, name)) != getattr(self._settings, name)
        }
        if pending and pending != self._pending:
            log.warning("restart the server to change these settings: %s", ", ".join(pending))
        self._pending = pending
