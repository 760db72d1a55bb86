import type { BoardQuote, Instrument } from "../api/types";
import { matchesName } from "../format/pinyin";
import type { ColumnId } from "./columnIds";
import { columnOf } from "./columns";

/** A line of the board: a symbol, or the header of a sector. */
export type Line =
  | { kind: "symbol"; symbol: string }
  | { kind: "group"; name: string; title: string; count: number; open: boolean };

export interface BoardQuery {
  search: string;
  only: ReadonlySet<string> | null; // the symbols of a list; null for all
  /** The shown sector; null for all sectors. */
  sector: string | null;
  sort: { by: ColumnId; descending: boolean };
  grouped: boolean;
  folded: ReadonlySet<string>; // groups whose symbols are hidden
}

type Instruments = ReadonlyMap<string, Instrument>;

/** Return the lines to show, in order. `title` is the display name of a sector; symbols without a sector ("") come last. */
export function buildLines(
  quotes: Iterable<BoardQuote>,
  instruments: Instruments,
  query: BoardQuery,
  title: (sector: string) => string,
): Line[] {
  const symbols = [...quotes]
    .filter((quote) => matchesQuery(quote, instruments, query))
    .sort(comparison(instruments, query.sort))
    .map((quote) => quote.symbol);
  if (!query.grouped) return symbols.map((symbol) => ({ kind: "symbol", symbol }));
  return [...bySector(symbols, instruments)].flatMap(([sector, members]) => {
    const open = !query.folded.has(sector);
    const header: Line = { kind: "group", name: sector, title: title(sector), count: members.length, open };
    return [header, ...(open ? members.map((symbol): Line => ({ kind: "symbol", symbol })) : [])];
  });
}

function matchesQuery({ symbol }: BoardQuote, instruments: Instruments, { search, only, sector }: BoardQuery): boolean {
  if (only && !only.has(symbol)) return false;
  if (sector !== null && (instruments.get(symbol)?.sector ?? "") !== sector) return false;
  const text = search.trim().toLowerCase();
  return symbol.toLowerCase().includes(text) || matchesName(instruments.get(symbol), text);
}

function comparison(instruments: Instruments, { by, descending }: BoardQuery["sort"]) {
  const value = columnOf(by).value ?? (() => null);
  const sign = descending ? -1 : 1;
  return (one: BoardQuote, other: BoardQuote): number => {
    const [a, b] = [value(one, instruments.get(one.symbol)), value(other, instruments.get(other.symbol))];
    if (a === null || b === null) return Number(a === null) - Number(b === null) || byName(one.symbol, other.symbol);
    if (a !== b) return a < b ? -sign : sign;
    return byName(one.symbol, other.symbol);
  };
}

const byName = (one: string, other: string): number => (one < other ? -1 : one > other ? 1 : 0);

function bySector(symbols: string[], instruments: Instruments): Map<string, string[]> {
  const groups = Map.groupBy(symbols, (symbol) => instruments.get(symbol)?.sector ?? "");
  return new Map([...groups].sort(([one], [other]) => Number(!one) - Number(!other) || byName(one, other)));
}
