import { locale } from "../words";

/** Shown for what is not known. */
export const NONE = "–";

type Options = Intl.NumberFormatOptions;
const made = new Map<string, Intl.NumberFormat>();

// Making a formatter costs a hundred times what using it does.
function formatter(name: string, options: Options): Intl.NumberFormat {
  const key = `${locale.value} ${name}`;
  const known = made.get(key) ?? new Intl.NumberFormat(locale.value, options);
  made.set(key, known);
  return known;
}

const digits = (count: number): Options => ({ minimumFractionDigits: count, maximumFractionDigits: count });

/** 1234.5 with 2 decimals: "1,234.50". */
export function price(value: number | null | undefined, decimals: number): string {
  return value == null ? NONE : formatter(`price ${decimals}`, digits(decimals)).format(value);
}

/** The same with a sign, "+1.20"; nothing has none. */
export function signed(value: number | null | undefined, decimals: number): string {
  if (value == null) return NONE;
  return formatter(`signed ${decimals}`, { ...digits(decimals), signDisplay: "exceptZero" }).format(value);
}

/** A value that is in percent already: "+0.65%". */
export const percent = (value: number | null | undefined): string => (value == null ? NONE : `${signed(value, 2)}%`);

/** 1200345: "1.2M", or "120万". */
export function compact(value: number | null | undefined): string {
  if (value == null) return NONE;
  return formatter("compact", { notation: "compact", maximumSignificantDigits: 3 }).format(value);
}

/** How many decimals a step of prices has: 0.01 has 2, 0.25 too, 5 none. */
export function decimalsOf(step: number): number {
  const [, fraction = ""] = step.toFixed(10).replace(/0+$/, "").split(".");
  return fraction.length;
}
