"""`tickwire check-filter`: check the syntax of a filter, and explain which symbols match on a server."""

from __future__ import annotations

import sys

import click

from tickwire.cli.client_options import URL_VARIABLE, token_from_environment
from tickwire.client.filter_check import check_filter as check_filter_on_server
from tickwire.errors import FilterError, InputError
from tickwire.screens.explanation import SymbolExplanation
from tickwire.screens.screen import parse_screen

# A list of thousands of symbols does not fit in a terminal.
_MAX_SHOWN_SYMBOLS = 20


@click.command("check-filter")
@click.argument("expression")
@click.option(
    "--url",
    envvar=URL_VARIABLE,
    show_envvar=True,
    help="Also check the filter on this server, and print the symbols that match now.",
)
@click.option("--symbol", help="Explain why this symbol matches or does not match. Requires --url.")
def check_filter(*, expression: str, url: str | None, symbol: str | None) -> None:
    """Check the filter EXPRESSION, and print its normal form, its fields and its cost.

    Example: tickwire check-filter 'volume > 1M and change_rate > 5%'
    """
    if symbol is not None and url is None:
        raise InputError("--symbol needs the quotes of a server: add --url", field="symbol")
    try:
        screen = parse_screen(expression)
        print(f"filter  {screen}\nfields  {', '.join(screen.field_names)}\ncost    {screen.cost}")
        if url is not None:
            _print_matches(url, expression, symbol)
    except FilterError as error:
        error.text = expression
        print(error.caret, file=sys.stderr)
        raise


def _print_matches(url: str, expression: str, symbol: str | None) -> None:
    result = check_filter_on_server(url, expression, symbol, token=token_from_environment())
    count = len(result.symbols)
    shown = ", ".join(result.symbols[:_MAX_SHOWN_SYMBOLS]) + (", ..." if count > _MAX_SHOWN_SYMBOLS else "")
    print(f"now     {count} {'symbol matches' if count == 1 else 'symbols match'}" + (f": {shown}" if shown else ""))
    if result.explained is not None:
        _print_explanation(result.explained)


def _print_explanation(explanation: SymbolExplanation) -> None:
    verdict = "matches" if explanation.matches else "does not match" if explanation.traded else "has not traded"
    print(f"\n{explanation.symbol} {verdict}")
    for reason in explanation.reasons:
        values = ", ".join(f"{name} is {_format_value(value)}" for name, value in reason.values.items())
        print(f"  {'yes' if reason.holds else 'no '}  {reason.condition}  ({values})")


def _format_value(value: float | str | None) -> str:
    return "missing" if value is None else f"{value:,.10g}" if isinstance(value, float) else value
