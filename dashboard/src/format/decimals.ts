/** Further digits of a price are rounding errors: with this limit, 0.1 + 0.2 has the same digits as 0.3. */
const SIGNIFICANT_DIGITS = 10;
const MAX_DECIMALS = 12;

/** Return the number of decimals that a price or a tick size needs: 2 for 0.25, 9 for 1.23e-7, 0 for 5. */
export function decimalsOf(value: number): number {
  // For example "1.230000000e-7".
  const [digits = "", exponent = "0"] = value.toExponential(SIGNIFICANT_DIGITS - 1).split("e");
  const fraction = digits.split(".")[1]?.replace(/0+$/, "") ?? "";
  return Math.min(MAX_DECIMALS, Math.max(0, fraction.length - Number(exponent)));
}

/** Return the change of a quote in percent, as the server computes it; null where a percentage has no meaning. */
export const quoteChangeRate = (quote: {
  last: number | null;
  prev_close: number | null;
  change_rate: number | null;
}) =>
  quote.last === null || quote.prev_close === null || changeRate(quote.prev_close, quote.last) === null
    ? null
    : quote.change_rate;

/** Return the change between two prices in percent. A base of zero, or a change of sign, has no percentage: null. */
export const changeRate = (from: number, to: number): number | null =>
  from === 0 || from < 0 !== to < 0 ? null : (100 * (to - from)) / Math.abs(from);
