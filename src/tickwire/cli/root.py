"""The command `tickwire`: finds its subcommands, and turns expected errors into one line and an exit code.

Subcommands are imported when they are named, so that `tickwire serve` does not wait for what the others need.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.metadata import version
from typing import Any

import click

from tickwire.errors import ClientError, InputError, TickwireError

_COMMANDS = {
    "serve": "run the server",
    "watch": "a live table of quotes in the terminal",
    "publish": "send the ticks of a file to a server",
    "simulator": "pause, speed up or seek a running server's market, or change its model",
    "calibrate": "make a model of price bars",
    "token": "make tokens for a server that asks for them, and see what one says",
    "check-filter": "say whether a filter is one, and what it means",
    "record": "write a server's quotes to a file that replay reads",
    "bench": "measure this machine, Tickwire and its peers",
}
_EXIT_INPUT, _EXIT_OTHER = 2, 1


class Root(click.Group):
    """A group whose commands live in modules of the same name."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order of use."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command from its module."""
        if cmd_name not in _COMMANDS:
            return None
        name = cmd_name.replace("-", "_")
        command: click.Command = getattr(import_module(f"tickwire.cli.{name}"), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> Any:
        """Run; an error of ours is one line for a person, never a traceback."""
        try:
            return super().invoke(ctx)
        except TickwireError as error:
            hint = getattr(error, "hint", None) or _token_hint(error)
            print(f"tickwire: {error}{f' ({hint})' if hint else ''}", file=sys.stderr)
            sys.exit(_EXIT_INPUT if isinstance(error, InputError) else _EXIT_OTHER)


def _token_hint(error: TickwireError) -> str | None:
    """What to do about a server that does not know who asks."""
    if not isinstance(error, ClientError) or error.status != 401:
        return None
    from tickwire.cli.options import TOKEN_VARIABLE, given_token  # with it come the settings, which --help needs not

    return None if given_token() else f"set {TOKEN_VARIABLE}; tickwire token mint makes one"


@click.group(cls=Root, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("tickwire"), prog_name="tickwire")
def root() -> None:
    """Tickwire: market data in, Server-Sent Events out."""
