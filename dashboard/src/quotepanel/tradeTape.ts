import type { Quote } from "../api/types";

/** The fields of a quote that a tape needs. */
export type TapeQuote = Pick<Quote, "last" | "bid" | "ask" | "volume" | "open" | "prev_close" | "ts">;

/** The side that caused a trade, estimated from its price; null if the side is unknown. */
export type Side = "buy" | "sell" | null;

export interface Trade {
  id: number;
  /** The time in microseconds since 1970. */
  ts: number;
  price: number;
  size: number;
  side: Side;
}

/** An entry of a tape: a trade, or a place where trades are missing. */
export type TapeEntry = Trade | { id: number; missing: true };

const MAX_ENTRIES = 300;

/**
 * The trades of one symbol, newest first.
 *
 * A quote is a trade if the volume of the session has grown; the growth is the size of the trade. The first quote only
 * sets the volume that the next quote is compared with. A smaller volume begins a new session, or corrects the volume
 * of the same session. Neither is a trade.
 */
export class TradeTape {
  entries: TapeEntry[] = [];
  private previous: TapeQuote | null = null;
  private nextId = 0;

  add(quote: TapeQuote): void {
    const { previous } = this;
    this.previous = quote;
    if (previous === null || quote.last === null) return;
    const [before, now] = [previous.volume ?? 0, quote.volume ?? 0];
    const size = now < before && isNewSession(previous, quote) ? now : now - before;
    if (size <= 0) return;
    this.insert({ id: this.nextId++, ts: quote.ts, price: quote.last, size, side: sideOf(quote.last, previous) });
  }

  /** Mark that trades are missing here. The next quote is not a trade, because its size is unknown. */
  addGap(): void {
    this.previous = null;
    if (this.entries.length > 0) this.insert({ id: this.nextId++, missing: true });
  }

  private insert(entry: TapeEntry): void {
    this.entries.unshift(entry);
    if (this.entries.length > MAX_ENTRIES) this.entries.pop();
  }
}

/** Return whether a session began between two quotes. It has another opening price, or another previous close. */
const isNewSession = (previous: TapeQuote, quote: TapeQuote): boolean =>
  previous.open !== quote.open || previous.prev_close !== quote.prev_close;

/**
 * Return the side that caused a trade: a buyer at or above the previous ask, a seller at or below the previous bid.
 * Between the two, the direction of the price decides (Lee and Ready, https://doi.org/10.1111/j.1540-6261.1991.tb02683.x).
 */
function sideOf(price: number, { bid, ask, last }: TapeQuote): Side {
  if (ask !== null && price >= ask) return "buy";
  if (bid !== null && price <= bid) return "sell";
  if (last === null || price === last) return null;
  return price > last ? "buy" : "sell";
}
