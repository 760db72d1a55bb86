import type { Brief } from "../api/types";
import { decimalsOf } from "../format/numbers";
import { instruments } from "../live/market";

const MOST = 8;
const seen = new Map<string, number>();

/** With how many decimals a symbol's prices are shown: those of its tick size, else the most that it was seen with. */
export function decimalsFor(quote: Brief): number {
  const step = instruments.value.get(quote.symbol)?.tick_size;
  if (step) return decimalsOf(step);
  const now = Math.max(2, ...[quote.last, quote.bid, quote.ask].map(fractionDigits));
  const most = Math.min(MOST, Math.max(now, seen.get(quote.symbol) ?? 0));
  seen.set(quote.symbol, most);
  return most;
}

function fractionDigits(value: number | null): number {
  if (value === null) return 0;
  const text = String(value);
  const point = text.indexOf(".");
  return point < 0 ? 0 : text.length - point - 1;
}
