"""The symbols that a client may read over HTTP: the claims `symbols` and `filter` of its token.

The filter is evaluated on the board of the client's hub. If the token has a delay, this hub is delayed. A symbol
without a quote matches no filter in a token.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence

import numpy as np

from tickwire.core.arrays import Bools
from tickwire.market.board import Board
from tickwire.market.quote_columns import QuoteColumns
from tickwire.screens.field_table import SYMBOLS_PER_TABLE, FieldTable
from tickwire.server.http_errors import Forbidden
from tickwire.server.loop_slices import in_slices, run_steps
from tickwire.sessions.rights import Rights


def check_symbol_readable(rights: Rights, board: Board, symbol: str) -> None:
    """Raise Forbidden if the client may not read the symbol now.

    The error does not reveal which symbols exist, because it is the same for existing and unknown symbols.
    """
    if not rights.symbols.includes(symbol) or not _matches_filter(rights, board, symbol):
        raise Forbidden(f"the token does not allow {symbol[:40]!r}", field="symbol")


def _matches_filter(rights: Rights, board: Board, symbol: str) -> bool:
    if rights.filter is None:
        return True
    row = board.find_row(symbol)
    if row is None:
        return False
    return bool(_field_table(board, board.quotes([row])).match_mask(rights.filter.compiled)[0])


async def select_readable(rights: Rights, board: Board, symbols: Sequence[str]) -> list[str]:
    """Return the symbols among `symbols` that the client may read now.

    Other tasks run between two slices of the work.
    """
    allowed = rights.symbols.select(symbols)
    if rights.filter is None:
        return allowed
    selected = list[str]()
    async for part in in_slices(allowed, SYMBOLS_PER_TABLE):
        known = [(symbol, row) for symbol in part if (row := board.find_row(symbol)) is not None]
        quotes = board.quotes([row for _, row in known])
        mask = await run_steps(test_quotes(rights, board, quotes))
        selected += [symbol for (symbol, _), matches in zip(known, mask.tolist(), strict=True) if matches]
    return selected


def test_quotes(rights: Rights, board: Board, quotes: QuoteColumns) -> Generator[None, None, Bools]:
    """Test the quotes with the filter of the token, in steps of a few milliseconds.

    Return one boolean for each quote: True if the quote matches.
    """
    if rights.filter is None:
        return np.ones(len(quotes), np.bool_)
    return (yield from _field_table(board, quotes).match_stepwise(rights.filter.compiled))


def _field_table(board: Board, quotes: QuoteColumns) -> FieldTable:
    symbols = [quotes.symbols[row] for row in quotes.rows.tolist()]
    return FieldTable(symbols, board.instruments, quotes.to_numbers())
