"""`tickwire config`: check the settings of a server, and print each of them with its origin."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import click

from tickwire.auth_wiring import check_exposure
from tickwire.cli.options import GroupedCommand, config_option, settings_options
from tickwire.cli.serve import check_multiprocess_settings
from tickwire.redaction import REDACTED, redact_address
from tickwire.settings import ENV_PREFIX, Settings, load_settings
from tickwire.settings_rules import check_settings

_DEFAULT = "default"


class ShownSetting(NamedTuple):
    """One line of the output. `value` contains no secret. `origin` is a flag, a variable, a file or `default`."""

    name: str
    value: str
    origin: str


@click.command(cls=GroupedCommand, params=settings_options())
@config_option("Check this TOML file, which has the format of `tickwire serve --config`.")
@click.option("--all", "shows_all", is_flag=True, help="Also print the settings that have their default values.")
@click.option(
    "--json", "is_json", is_flag=True, help="Print one JSON object with the value and origin of each setting."
)
def config(config: Path | None, *, shows_all: bool, is_json: bool, **options: Any) -> None:
    """Check the settings that `tickwire serve` would use, and print each of them with its origin.

    Pass the same flags, variables and file as to `tickwire serve`. Secrets are masked. The exit code is 2 if a setting
    is not valid.
    """
    overrides = {name: value for name, value in options.items() if value is not None}
    settings = load_settings(overrides, config_path=config)
    check_settings(settings)
    check_multiprocess_settings(settings)
    check_exposure(settings)
    rows = [row for row in describe_settings(settings, overrides, config) if shows_all or row.origin != _DEFAULT]
    if is_json:
        print(json.dumps({row.name: {"value": row.value, "origin": row.origin} for row in rows}, indent=2))
        return
    width = max([len(row.name) for row in rows], default=0)
    value_width = max([len(row.value) for row in rows], default=0)
    for row in rows:
        print(f"{row.name:{width}}  {row.value:{value_width}}  {row.origin}")
    print(f"the settings are valid; {len(Settings.model_fields) - len(rows)} more have their default values")


def describe_settings(settings: Settings, overrides: Mapping[str, Any], path: Path | None) -> list[ShownSetting]:
    """Return each setting with its effective value and its origin.

    `overrides` contains the flags, and `path` is the file with settings.
    """
    in_file = set() if path is None else tomllib.loads(path.read_text(encoding="utf-8")).keys()
    variables = {name.upper(): name for name in os.environ}
    shown = []
    for name in Settings.model_fields:
        variable = variables.get(f"{ENV_PREFIX}{name.upper()}")
        if name in overrides:
            origin = f"--{name.replace('_', '-')}"
        elif variable is not None:
            origin = variable
        else:
            origin = str(path) if name in in_file else _DEFAULT
        shown.append(ShownSetting(name, _mask(name, getattr(settings, name)), origin))
    return shown


def _mask(name: str, value: object) -> str:
    # Show the address of the journal without its password, and mask all other secrets.
    if not Settings.model_fields[name].repr and name != "journal":
        return REDACTED if value else ""
    return redact_address(value) if isinstance(value, str) else str(value)
