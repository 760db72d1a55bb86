import { elapsed } from "../format/times";
import { connection, haltedSymbols, mode, stale, welcome } from "../live/marketData";
import { words } from "../words";

/** Return the origin of all prices and their delay: "Simulated", or "Live · Delayed 15 min". */
export function originText(): string {
  const { modes, delayed } = words.value;
  const delay = welcome.value?.delay ?? 0;
  return [mode.value && modes[mode.value], delay > 0 && delayed(elapsed(delay))].filter(Boolean).join(" · ");
}

/** Return the reason why the price of a symbol may be old; "" while it is current. */
export function staleText(symbol: string): string {
  const { states, freshness, feed, board } = words.value;
  const reason = stale.value;
  if (reason === "connection") return states[connection.value];
  if (reason === "stopped") return feed.halted;
  if (reason === "stale") return feed.stale;
  if (reason !== null) return freshness.announced[reason];
  return haltedSymbols.value.has(symbol) ? board.halted : "";
}
