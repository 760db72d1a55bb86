import type { Instrument } from "../api/types";

/** A symbol to choose, and what is known of it. */
export interface Found {
  symbol: string;
  name: string;
  sector: string;
}

const MOST = 60; // to show; who has not found it among these types another letter

/** Symbols that fit what was typed: those that begin with it, those that have it, those whose name has it. */
export function find(text: string, symbols: Iterable<string>, instruments: ReadonlyMap<string, Instrument>): Found[] {
  const sought = text.trim().toLowerCase();
  return [...new Set(symbols)]
    .map((symbol) => ({ symbol, rank: rank(sought, symbol, instruments.get(symbol)?.name ?? "") }))
    .filter(({ rank }) => rank < NOT_FOUND)
    .sort((one, other) => one.rank - other.rank || (one.symbol < other.symbol ? -1 : 1))
    .slice(0, MOST)
    .map(({ symbol }) => ({
      symbol,
      name: instruments.get(symbol)?.name ?? "",
      sector: instruments.get(symbol)?.sector ?? "",
    }));
}

const NOT_FOUND = 3;

function rank(sought: string, symbol: string, name: string): number {
  const at = symbol.toLowerCase().indexOf(sought);
  if (at >= 0) return at === 0 ? 0 : 1;
  return name.toLowerCase().includes(sought) ? 2 : NOT_FOUND;
}
