import type { BoardQuote } from "../api/types";
import { decimalsOf } from "../format/decimals";
import { instruments } from "../live/marketData";

const maxSeen = new Map<string, number>();

/**
 * Return the number of decimals for a symbol's prices: the decimals of the tick size or, without a tick size, the most
 * decimals of any price so far.
 */
export function decimalsFor(quote: BoardQuote): number {
  const tickSize = instruments.value.get(quote.symbol)?.tick_size;
  if (tickSize) return decimalsOf(tickSize);
  const current = [quote.last, quote.bid, quote.ask].map((price) => (price === null ? 0 : decimalsOf(price)));
  const decimals = Math.max(2, ...current, maxSeen.get(quote.symbol) ?? 0);
  maxSeen.set(quote.symbol, decimals);
  return decimals;
}
