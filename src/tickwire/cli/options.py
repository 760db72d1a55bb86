"""Command-line flags made from the settings, so that each is declared once."""

from __future__ import annotations

import os
from typing import Any, Literal, get_args, get_origin

import click
from pydantic.fields import FieldInfo

from tickwire.settings import PREFIX, Settings


def settings_options() -> list[click.Parameter]:
    """A flag for every setting. None of them has a default here: what is not given is left to `load_settings`."""
    return [_option(name, field) for name, field in Settings.model_fields.items()]


def _option(name: str, field: FieldInfo) -> click.Option:
    flag = f"--{name.replace('_', '-')}"
    text = f"{field.description}  [default: {_shown(field.default)}; {PREFIX}{name.upper()}]"
    if field.annotation is bool:
        return click.Option([f"{flag}/--no-{name.replace('_', '-')}", name], default=None, help=text)
    return click.Option([flag, name], type=_kind(field.annotation), default=None, help=text)


def _kind(annotation: Any) -> click.ParamType[Any]:
    if get_origin(annotation) is Literal:
        return click.Choice([str(value) for value in get_args(annotation)], case_sensitive=False)
    return click.STRING  # the settings check and convert; their message names flag, variable or key


def _shown(value: Any) -> str:
    return "none" if value == "" else str(value)


TOKEN_VARIABLE = f"{PREFIX}TOKEN"
url_option = click.option(
    "--url",
    default="http://127.0.0.1:8000",
    show_default=True,
    envvar=f"{PREFIX}URL",
    help=f"the server; if it asks for a token, put one into {TOKEN_VARIABLE}",
)
"""The flag by which clients find their server."""


def given_token() -> str | None:
    """The token for servers that ask for one, from TICKWIRE_TOKEN: a flag would be in every list of processes."""
    return os.environ.get(TOKEN_VARIABLE) or None
