"""`tickwire check-filter`: whether a filter is one, and what it means."""

from __future__ import annotations

import sys

import click

from tickwire.cli.options import given_token
from tickwire.client.screens import check_filter as ask
from tickwire.errors import FilterError, InputError
from tickwire.screens.answer import Explained
from tickwire.screens.screen import screen
from tickwire.settings import PREFIX

_SHOWN = 20  # symbols; a terminal is no place for thousands


@click.command("check-filter")
@click.argument("expression")
@click.option("--url", envvar=f"{PREFIX}URL", help="ask this server, which also knows the symbols that match now")
@click.option("--symbol", help="say of this symbol why it matches, or why not; needs --url")
def check_filter(*, expression: str, url: str | None, symbol: str | None) -> None:
    """Say whether EXPRESSION is a filter, and what it means.

    Example: tickwire check-filter 'volume > 1M and change_rate > 5%'
    """
    if symbol is not None and url is None:
        raise InputError("--symbol asks for a quote: name a server with --url", field="symbol")
    try:
        wanted = screen(expression)
        print(f"filter  {wanted}\nfields  {', '.join(wanted.needs)}\ncost    {wanted.cost}")
        if url is not None:
            _ask(url, expression, symbol)
    except FilterError as error:
        error.text = expression
        print(error.caret, file=sys.stderr)
        raise


def _ask(url: str, expression: str, symbol: str | None) -> None:
    answer = ask(url, expression, symbol, token=given_token())
    count = len(answer.symbols)
    shown = ", ".join(answer.symbols[:_SHOWN]) + (", ..." if count > _SHOWN else "")
    print(f"now     {count} {'symbol matches' if count == 1 else 'symbols match'}" + (f": {shown}" if shown else ""))
    if answer.explained is not None:
        _explain(answer.explained)


def _explain(explained: Explained) -> None:
    word = "matches" if explained.matches else "does not match" if explained.traded else "has not traded"
    print(f"\n{explained.symbol} {word}")
    for reason in explained.reasons:
        values = ", ".join(f"{name} is {_text(value)}" for name, value in reason.values.items())
        print(f"  {'yes' if reason.holds else 'no '}  {reason.condition}  ({values})")


def _text(value: float | str | None) -> str:
    return "missing" if value is None else f"{value:,.10g}" if isinstance(value, float) else value
