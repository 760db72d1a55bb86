import { type QuoteNumberField, quoteFieldKinds } from "../api/quoteFields";

const popularFields = ["last", "change_rate", "volume", "change", "turnover"] as const satisfies QuoteNumberField[];
const instrumentFields = ["eps", "shares", "lot_size", "volatility", "tick_size"] as const;

export type NumberField = QuoteNumberField | (typeof instrumentFields)[number];

const quoteFields = Object.keys(quoteFieldKinds) as QuoteNumberField[];
const otherFields = quoteFields.filter((name) => name !== "ts" && !(popularFields as readonly string[]).includes(name));

/** The fields of a filter in the order of the suggestions: numbers, then texts. docs/filters.md describes them. */
export const numberFields: readonly NumberField[] = [...popularFields, ...otherFields, ...instrumentFields, "ts"];
export const textFields = ["symbol", "name", "name_zh", "sector", "exchange", "currency"] as const;

export type TextField = (typeof textFields)[number];
export type Field = NumberField | TextField;

export const isTextField = (name: string): name is TextField => (textFields as readonly string[]).includes(name);
export const isField = (name: string): name is Field =>
  isTextField(name) || (numberFields as readonly string[]).includes(name);
