"""Builds the page into wheel and sdist, so that who installs them needs no Node; editable installs leave it to make."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class PageHook(BuildHookInterface[Any]):
    """Runs `dashboard/build.py` where it is there: in a checkout. An sdist has the built page instead."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build the page; an error where there is neither one nor its sources."""
        root = Path(self.root)
        script = root / "dashboard" / "build.py"
        if version == "editable":
            return
        if script.exists():
            subprocess.run([sys.executable, str(script)], check=True)
        elif not (root / "src/tickwire/server/pages/app/index.html").exists():
            raise RuntimeError(
                "there is neither a built page (src/tickwire/server/pages/app) nor its sources (dashboard/)"
            )
