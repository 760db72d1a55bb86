"""The command `tickwire`: load the subcommands, and report an expected error as one line with an exit code.

`tickwire` imports the module of a subcommand only when the user calls the subcommand. Therefore `tickwire serve` starts
without importing the modules of the other subcommands.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from importlib.metadata import version
from typing import Any, NoReturn

import click

from tickwire.cli.client_options import TOKEN_VARIABLE, URL_VARIABLE, token_from_environment
from tickwire.errors import ClientError, InputError, TickwireError, suggest_name

_COMMANDS = {
    "serve": "Run the server.",
    "watch": "Show live quotes as a table in the terminal.",
    "publish": "Send the ticks of a file to a server.",
    "simulator": "Control the feed of a running server: pause, speed, seek, model, scenario.",
    "calibrate": "Create a market model from price bars.",
    "token": "Create and inspect tokens for servers that require them.",
    "check-filter": "Check a filter expression, and explain it.",
    "record": "Record the quotes of a server to a file for replay.",
    "status": "Show the health, feed, readers and lag of a server.",
    "doctor": "Find the changes that a proxy between this machine and a server makes to streams.",
    "config": "Check the settings, and show the origin of each setting.",
    "backup": "Copy the journal of a running server.",
    "restore": "Restore the backup of a journal.",
}
_EXIT_INPUT_ERROR, _EXIT_FAILURE = 2, 1


class LazyGroup(click.Group):
    """A command group that imports the module of a subcommand only when the user calls the subcommand.

    The module has the same name as the subcommand.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the command names in the order in which the help lists them."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module of the command, and return the command."""
        if cmd_name not in _COMMANDS:
            return None
        name = cmd_name.replace("-", "_")
        command: click.Command = getattr(import_module(f"tickwire.cli.{name}"), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands to the help without importing the modules of the commands."""
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command. For an unknown name, suggest the most similar command."""
        if args[0] not in _COMMANDS and not args[0].startswith("-"):
            ctx.fail(f"no such command {args[0]!r}: {suggest_name(args[0], _COMMANDS)}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command. Print an expected error as one line, without a traceback.

        An operation on a file that fails, such as a write to a folder without permission, is an expected error.
        """
        _warn_about_variables()
        try:
            return super().invoke(ctx)
        except TickwireError as error:
            hint = getattr(error, "hint", None) or _token_hint(error)
            _exit_with_error(
                f"{error}{f' ({hint})' if hint else ''}",
                _EXIT_INPUT_ERROR if isinstance(error, InputError) else _EXIT_FAILURE,
            )
        except OSError as error:
            # If `filename` is not set, the error does not come from an operation on a file, so it is a bug.
            if error.filename is None:
                raise
            _exit_with_error(f"cannot read or write {os.fsdecode(error.filename)}: {error.strerror}", _EXIT_FAILURE)


def _exit_with_error(message: str, exit_code: int) -> NoReturn:
    print(f"tickwire: {message}", file=sys.stderr)
    sys.exit(exit_code)


def _warn_about_variables() -> None:
    """Print a warning for each environment variable of Tickwire that has no effect."""
    if any(name.upper().startswith("TICKWIRE_") for name in os.environ.keys() - {URL_VARIABLE, TOKEN_VARIABLE}):
        # Import the module only here, because it loads the settings and the server.
        from tickwire.settings_rules import variable_warnings

        for warning in variable_warnings(os.environ):
            print(f"tickwire: {warning}", file=sys.stderr)


def _token_hint(error: TickwireError) -> str | None:
    """Return a hint if the server requires a token and the environment variable TICKWIRE_TOKEN is not set.

    Return None in all other cases.
    """
    if not isinstance(error, ClientError) or error.status != 401:
        return None
    return None if token_from_environment() else f"set {TOKEN_VARIABLE}; tickwire token mint creates a token"


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(version("tickwire"), prog_name="tickwire")
def root() -> None:
    """Tickwire: market data in, Server-Sent Events out."""
