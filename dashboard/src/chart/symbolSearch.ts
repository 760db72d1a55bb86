import type { Instrument } from "../api/types";
import { matchesName } from "../format/pinyin";

export interface SymbolMatch {
  symbol: string;
  about: Instrument | undefined;
}

/** A longer list is not useful: another letter narrows the search. */
const MAX_MATCHES = 60;
const NO_MATCH = 3;

/** Return the symbols that match a text: first by prefix, then by a part of the symbol, then by the name. */
export function searchSymbols(
  text: string,
  symbols: Iterable<string>,
  instruments: ReadonlyMap<string, Instrument>,
): SymbolMatch[] {
  const query = text.trim().toLowerCase();
  return [...new Set(symbols)]
    .map((symbol) => ({ symbol, rank: rank(query, symbol, instruments.get(symbol)) }))
    .filter(({ rank }) => rank < NO_MATCH)
    .sort((one, other) => one.rank - other.rank || (one.symbol < other.symbol ? -1 : 1))
    .slice(0, MAX_MATCHES)
    .map(({ symbol }) => ({ symbol, about: instruments.get(symbol) }));
}

function rank(query: string, symbol: string, about: Instrument | undefined): number {
  const index = symbol.toLowerCase().indexOf(query);
  if (index >= 0) return index === 0 ? 0 : 1;
  return matchesName(about, query) ? 2 : NO_MATCH;
}
