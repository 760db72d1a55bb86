import type { Instrument, Quote } from "../api/types";
import { decimalsFor } from "../board/decimals";
import { compact, NONE, percent, price, signed } from "../format/numbers";
import { timeOfDay } from "../format/times";

/** What filters can be about, in the order in which it is suggested: numbers, then texts. See docs/filters.md. */
export const numbers = [
  "last",
  "change_rate",
  "volume",
  "change",
  "turnover",
  "bid",
  "ask",
  "bid_size",
  "ask_size",
  "open",
  "high",
  "low",
  "prev_close",
  "vwap",
  "pe",
  "market_cap",
  "eps",
  "shares",
  "volatility",
  "tick_size",
  "ts",
] as const;
export const texts = ["symbol", "name", "sector", "exchange", "currency"] as const;

export type NumberField = (typeof numbers)[number];
export type TextField = (typeof texts)[number];
export type Field = NumberField | TextField;

export const isText = (name: string): name is TextField => (texts as readonly string[]).includes(name);
export const isField = (name: string): name is Field => isText(name) || (numbers as readonly string[]).includes(name);

/** The value of a field, as filters see it. */
export function valueIn(field: Field, quote: Quote, about: Instrument | undefined): number | string | null {
  return (quote as Partial<Record<Field, number | string | null>>)[field] ?? about?.[field as keyof Instrument] ?? null;
}

/** The same for people. */
export function shown(field: Field, quote: Quote, about: Instrument | undefined): string {
  const value = valueIn(field, quote, about);
  if (value === null) return NONE;
  if (typeof value === "string") return value;
  return (formats[field as NumberField] ?? price)(value, decimalsFor(quote));
}

const two = (value: number): string => price(value, 2);
const formats: Partial<Record<NumberField, (value: number, decimals: number) => string>> = {
  change: signed,
  change_rate: percent,
  volume: compact,
  turnover: compact,
  bid_size: compact,
  ask_size: compact,
  market_cap: compact,
  shares: compact,
  pe: two,
  eps: two,
  tick_size: (value) => String(value),
  volatility: (value) => `${price(value * 100, 1)}%`,
  ts: (value) => timeOfDay(value / 1000),
};
