import type { BoardQuote, Instrument } from "../api/types";
import { quoteChangeRate } from "../format/decimals";
import { compact, NONE, percent, price, quantity, signed } from "../format/numbers";
import { shortTime } from "../format/times";
import { instrumentName, sectorTitle } from "../words";
import type { Words } from "../words/en";
import type { ColumnId } from "./columnIds";

type About = Instrument | undefined;

/** A column of the board. */
export interface Column {
  id: ColumnId;
  label: (words: Words) => string;
  /** Return the value for sorting and for files. A column without this function shows a drawing. */
  value?: (quote: BoardQuote, about: About) => number | string | null;
  /** Return the text of a cell. Row.ts builds the cells of a column without this function. */
  text?: (quote: BoardQuote, about: About, decimals: number) => string;
  /** Whether the value, and therefore the order of the rows, changes with every tick. */
  live: boolean;
  /** The smallest width in px. */
  min: number;
  /** The share of the free width; 0 for a fixed width. */
  grow: number;
}

/** Return where the last price lies in the day's range, from 0 (low) to 1 (high); null without a range. */
export const rangePosition = ({ last, low, high }: BoardQuote): number | null =>
  last === null || low === null || high === null || high <= low ? null : (last - low) / (high - low);

/** Return the product of two values; null if one is unknown. */
const product = (one: number | null | undefined, other: number | null | undefined): number | null =>
  one == null || other == null ? null : one * other;

const priceEarnings = ({ last }: BoardQuote, about: About): number | null =>
  last === null || !about?.eps ? null : last / about.eps;
const marketCap = ({ last }: BoardQuote, about: About) => product(last, about?.shares);

/** Return a column with the price in one field of a quote. */
function priceColumn(id: ColumnId, field: "open" | "high" | "low" | "prev_close", label: Column["label"]): Column {
  return {
    id,
    label,
    value: (quote) => quote[field],
    text: (quote, _, decimals) => price(quote[field], decimals),
    live: field !== "prev_close",
    min: 88,
    grow: 0.9,
  };
}

/** Return a column with one text of an instrument. */
function textColumn(id: ColumnId, field: "exchange" | "currency", label: Column["label"]): Column {
  const value = (_: BoardQuote, about: About) => about?.[field] ?? null;
  return { id, label, value, text: (quote, about) => value(quote, about) ?? NONE, live: false, min: 84, grow: 0 };
}

export const columns: readonly Column[] = [
  { id: "symbol", label: ({ board }) => board.symbol, value: (quote) => quote.symbol, live: false, min: 84, grow: 1 },
  {
    id: "name",
    label: ({ board }) => board.name,
    value: (_, about) => instrumentName(about) || null,
    live: false,
    min: 90,
    grow: 1.6,
  },
  { id: "trend", label: ({ board }) => board.trend, live: false, min: 110, grow: 0 },
  { id: "last", label: ({ board }) => board.last, value: (quote) => quote.last, live: true, min: 88, grow: 1 },
  {
    id: "change",
    label: ({ board }) => board.change,
    value: (quote) => quote.change,
    text: (quote, _, decimals) => signed(quote.change, decimals),
    live: true,
    min: 76,
    grow: 0.9,
  },
  {
    id: "rate",
    label: ({ board }) => board.rate,
    value: quoteChangeRate,
    text: (quote) => percent(quoteChangeRate(quote)),
    live: true,
    min: 78,
    grow: 0,
  },
  { id: "bid", label: ({ board }) => board.bid, value: (quote) => quote.bid, live: true, min: 120, grow: 1.1 },
  { id: "ask", label: ({ board }) => board.ask, value: (quote) => quote.ask, live: true, min: 120, grow: 1.1 },
  {
    id: "volume",
    label: ({ board }) => board.volume,
    value: (quote) => quote.volume,
    text: (quote, about) => quantity(quote.volume, about),
    live: true,
    min: 78,
    grow: 0,
  },
  { id: "range", label: ({ board }) => board.range, value: rangePosition, live: true, min: 100, grow: 0 },
  {
    id: "time",
    label: ({ board }) => board.time,
    value: (quote) => quote.ts,
    text: (quote) => shortTime(quote.ts / 1000),
    live: true,
    min: 112,
    grow: 0,
  },
  priceColumn("open", "open", ({ screener }) => screener.fields.open),
  priceColumn("high", "high", ({ screener }) => screener.fields.high),
  priceColumn("low", "low", ({ screener }) => screener.fields.low),
  priceColumn("prevClose", "prev_close", ({ chart }) => chart.prevClose),
  {
    id: "turnover",
    label: ({ overview }) => overview.turnover,
    value: (quote) => quote.turnover,
    text: (quote) => compact(quote.turnover),
    live: true,
    min: 96,
    grow: 0,
  },
  {
    id: "cap",
    label: ({ screener }) => screener.fields.market_cap,
    value: marketCap,
    text: (quote, about) => compact(marketCap(quote, about)),
    live: true,
    min: 96,
    grow: 0,
  },
  {
    id: "pe",
    label: ({ screener }) => screener.fields.pe,
    value: priceEarnings,
    text: (quote, about) => price(priceEarnings(quote, about), 2),
    live: true,
    min: 72,
    grow: 0,
  },
  {
    id: "sector",
    label: ({ market }) => market.sector,
    value: (_, about) => about?.sector ?? null,
    text: (_, about) => (about?.sector ? sectorTitle(about.sector) : NONE),
    live: false,
    min: 120,
    grow: 1.2,
  },
  textColumn("exchange", "exchange", ({ screener }) => screener.fields.exchange),
  textColumn("currency", "currency", ({ screener }) => screener.fields.currency),
];

const byId = new Map(columns.map((column) => [column.id, column]));

export const columnOf = (id: ColumnId): Column => byId.get(id) as Column;
