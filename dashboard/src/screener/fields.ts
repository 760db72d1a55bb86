import { type QuoteFieldKind, type QuoteNumberField, quoteFieldKinds } from "../api/quoteFields";
import type { Instrument, Quote } from "../api/types";
import { decimalsFor } from "../board/decimals";
import { decimalsOf, quoteChangeRate } from "../format/decimals";
import { compact, NONE, percent, price, quantity, signed } from "../format/numbers";
import { shortTime } from "../format/times";
import type { Field } from "./fieldNames";

/** Return the value of a field, as a filter compares it. */
export function fieldValue(field: Field, quote: Quote, about: Instrument | undefined): number | string | null {
  return (quote as Partial<Record<Field, number | string | null>>)[field] ?? about?.[field as keyof Instrument] ?? null;
}

/** Return the value of a field, formatted for display. */
export function formatField(field: Field, quote: Quote, about: Instrument | undefined): string {
  const value = field === "change_rate" ? quoteChangeRate(quote) : fieldValue(field, quote, about);
  if (value === null) return NONE;
  if (typeof value === "string") return value;
  const format = instrumentFormats[field] ?? formats[quoteFieldKinds[field as QuoteNumberField]];
  return format(value, decimalsFor(quote), about);
}

type Format = (value: number, decimals: number, about: Instrument | undefined) => string;

const two: Format = (value) => price(value, 2);
const instrumentFormats: Partial<Record<Field, Format>> = {
  shares: compact,
  lot_size: compact,
  eps: two,
  tick_size: (value) => price(value, decimalsOf(value)),
  volatility: (value) => `${price(value * 100, 1)}%`,
};
const formats: Record<QuoteFieldKind, Format> = {
  price,
  price_change: signed,
  percent,
  ratio: two,
  quantity: (value, _, about) => quantity(value, about),
  money: compact,
  time: (value) => shortTime(value / 1000),
};
