"""The option and the environment variables that all client commands share.

This module does not import the settings, so a client command starts in a third of the time.
"""

from __future__ import annotations

import os

import click

URL_VARIABLE = "TICKWIRE_URL"
TOKEN_VARIABLE = "TICKWIRE_TOKEN"  # noqa: S105  # the name of a variable

server_url_option = click.option(
    "--url",
    default="http://127.0.0.1:8000",
    show_default=True,
    envvar=URL_VARIABLE,
    show_envvar=True,
    help=f"Connect to the server at this URL. If it requires a token, set {TOKEN_VARIABLE}.",
)
"""The option with the URL of the server, for all client commands."""


def token_from_environment() -> str | None:
    """Return the token in the environment variable TICKWIRE_TOKEN, or None if the variable is not set.

    No command-line option sets the token, because every user of a machine can list the arguments of all processes.
    """
    return os.environ.get(TOKEN_VARIABLE) or None
