import { locale, words } from "../words";

/** The text for an unknown value. */
export const NONE = "–";

type Options = Intl.NumberFormatOptions;
const formatters = new Map<string, Intl.NumberFormat>();

/** Return a cached formatter: creating one costs a hundred times as much as using it. */
function formatter(name: string, options: Options): Intl.NumberFormat {
  const key = `${locale.value} ${name}`;
  const cached = formatters.get(key) ?? new Intl.NumberFormat(locale.value, options);
  formatters.set(key, cached);
  return cached;
}

const digits = (count: number): Options => ({ minimumFractionDigits: count, maximumFractionDigits: count });

/** Format a price: 1234.5 with 2 decimals is "1,234.50". */
export function price(value: number | null | undefined, decimals: number): string {
  return value == null ? NONE : formatter(`price ${decimals}`, digits(decimals)).format(value);
}

/** Format a change with its sign: "+1.20". Zero has no sign. */
export function signed(value: number | null | undefined, decimals: number): string {
  if (value == null) return NONE;
  return formatter(`signed ${decimals}`, { ...digits(decimals), signDisplay: "exceptZero" }).format(value);
}

/** Format a value that is already in percent: "+0.65%". */
export const percent = (value: number | null | undefined): string => (value == null ? NONE : `${signed(value, 2)}%`);

/** Format a large number in short: 1200345 is "1.2M", or "120万". */
export function compact(value: number | null | undefined): string {
  if (value == null) return NONE;
  return formatter("compact", { notation: "compact", maximumSignificantDigits: 3 }).format(value);
}

/**
 * Format a number of shares in short. In Chinese, it is a number of lots if the instrument has a lot size: 1200 shares in
 * lots of 100 are "12手".
 */
export function quantity(value: number | null | undefined, about: { lot_size: number | null } | undefined): string {
  const { lots } = words.value.units;
  return value == null || lots === null || !about?.lot_size ? compact(value) : lots(compact(value / about.lot_size));
}

const UNITS = ["B", "KB", "MB", "GB", "TB"];

/** Format a number of bytes: 61997056 is "62 MB". */
export function byteSize(value: number | null | undefined): string {
  if (value == null) return NONE;
  const step = value < 1000 ? 0 : Math.min(UNITS.length - 1, Math.floor(Math.log10(value) / 3));
  const shown = (value / 1000 ** step).toLocaleString(locale.value, { maximumSignificantDigits: 3 });
  return `${shown} ${UNITS[step]}`;
}

/** Format a whole number with all of its digits. */
export function wholeNumber(value: number | null | undefined): string {
  return value == null ? NONE : Math.round(value).toLocaleString(locale.value);
}
