import type { Brief, Instrument } from "../api/types";
import { type ColumnId, columnOf } from "./columns";

/** A line of the board: a symbol, or the head of a group. */
export type Line =
  | { kind: "symbol"; symbol: string }
  | { kind: "group"; name: string; title: string; count: number; open: boolean };

export interface Wish {
  search: string;
  only: ReadonlySet<string> | null; // the symbols of a list; null for all
  sort: { by: ColumnId; descending: boolean };
  grouped: boolean;
  folded: ReadonlySet<string>; // groups whose symbols are not shown
}

type Instruments = ReadonlyMap<string, Instrument>;

/** The lines to show, in order. `title` names a sector for people; symbols without one ("") come last. */
export function lines(
  quotes: Iterable<Brief>,
  instruments: Instruments,
  wish: Wish,
  title: (sector: string) => string,
): Line[] {
  const found = [...quotes]
    .filter((quote) => wanted(quote, instruments, wish))
    .sort(comparison(instruments, wish.sort));
  const symbols = found.map((quote) => quote.symbol);
  if (!wish.grouped) return symbols.map((symbol) => ({ kind: "symbol", symbol }));
  return [...bySector(symbols, instruments)].flatMap(([sector, members]) => {
    const open = !wish.folded.has(sector);
    const head: Line = { kind: "group", name: sector, title: title(sector), count: members.length, open };
    return [head, ...(open ? members.map((symbol): Line => ({ kind: "symbol", symbol })) : [])];
  });
}

function wanted({ symbol }: Brief, instruments: Instruments, { search, only }: Wish): boolean {
  if (only && !only.has(symbol)) return false;
  const text = search.trim().toLowerCase();
  return !text || symbol.toLowerCase().includes(text) || !!instruments.get(symbol)?.name?.toLowerCase().includes(text);
}

function comparison(instruments: Instruments, { by, descending }: Wish["sort"]) {
  const value = columnOf(by).value ?? (() => null);
  const sign = descending ? -1 : 1;
  return (one: Brief, other: Brief): number => {
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
