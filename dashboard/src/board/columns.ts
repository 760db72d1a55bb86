import type { Brief, Instrument } from "../api/types";
import type { Words } from "../words/en";

/** By what rows can be sorted. `live` says that it changes with every tick, so that the order has to be made anew. */
export interface Column {
  id: ColumnId;
  label: (words: Words) => string;
  value?: (quote: Brief, instrument: Instrument | undefined) => number | string | null;
  live: boolean;
}

export type ColumnId =
  | "symbol"
  | "name"
  | "trend"
  | "last"
  | "change"
  | "rate"
  | "bid"
  | "ask"
  | "volume"
  | "range"
  | "time";

const place = ({ last, low, high }: Brief): number | null =>
  last === null || low === null || high === null || high <= low ? null : (last - low) / (high - low);

export { place };

export const columns: readonly Column[] = [
  { id: "symbol", label: (words) => words.board.symbol, value: (quote) => quote.symbol, live: false },
  { id: "name", label: (words) => words.board.name, value: (_, about) => about?.name ?? null, live: false },
  { id: "trend", label: (words) => words.board.trend, live: false },
  { id: "last", label: (words) => words.board.last, value: (quote) => quote.last, live: true },
  { id: "change", label: (words) => words.board.change, value: (quote) => quote.change, live: true },
  { id: "rate", label: (words) => words.board.rate, value: (quote) => quote.change_rate, live: true },
  { id: "bid", label: (words) => words.board.bid, value: (quote) => quote.bid, live: true },
  { id: "ask", label: (words) => words.board.ask, value: (quote) => quote.ask, live: true },
  { id: "volume", label: (words) => words.board.volume, value: (quote) => quote.volume, live: true },
  { id: "range", label: (words) => words.board.range, value: place, live: true },
  { id: "time", label: (words) => words.board.time, value: (quote) => quote.ts, live: true },
];

export const columnOf = (id: ColumnId): Column => columns.find((each) => each.id === id) as Column;
