import type { Brief, Candle } from "../api/types";

/** What taking a candle in did to the row of bars. */
export type Change = "nothing" | "newest" | "inside" | "inserted";

/**
 * The candles of one symbol and interval, by start, oldest first, each once.
 *
 * A closed one is final. One that forms is replaced by what the stream tells of it; what was asked for may be older than
 * what the stream has told meanwhile, so it only fills what is missing.
 */
export class Bars {
  private bars: Candle[] = [];

  get all(): readonly Candle[] {
    return this.bars;
  }

  get newest(): Candle | undefined {
    return this.bars.at(-1);
  }

  get oldest(): Candle | undefined {
    return this.bars[0];
  }

  /** The start of the first that may still change, or null where all that is known is closed. */
  get open(): number | null {
    return this.bars.find((bar) => !bar.closed)?.start ?? null;
  }

  clear(): void {
    this.bars = [];
  }

  /** Take in what the stream told. */
  tell(candle: Candle): Change {
    const at = this.placeOf(candle.start);
    const known = this.bars[at];
    if (known?.start !== candle.start) {
      this.bars.splice(at, 0, candle);
      return at === this.bars.length - 1 ? "newest" : "inserted";
    }
    if (known.closed) return "nothing";
    this.bars[at] = candle;
    return at === this.bars.length - 1 ? "newest" : "inside";
  }

  /** Take in what was asked for: many at a time, older or newer than what is there. */
  fill(candles: readonly Candle[]): void {
    const byStart = new Map(this.bars.map((bar) => [bar.start, bar]));
    for (const candle of candles) {
      if (candle.closed || !byStart.has(candle.start)) byStart.set(candle.start, candle);
    }
    this.bars = [...byStart.values()].sort((one, other) => one.start - other.start);
  }

  /** The bar whose start is nearest below or at this one. */
  at(start: number): { bar: Candle; before: Candle | undefined } | null {
    const place = this.placeOf(start + 1) - 1;
    const bar = this.bars[place];
    return bar ? { bar, before: this.bars[place - 1] } : null;
  }

  /** Where a start is, or would be; looked for from the end, where nearly everything happens. */
  private placeOf(start: number): number {
    let at = this.bars.length;
    while (at > 0 && (this.bars[at - 1] as Candle).start >= start) at -= 1;
    return at;
  }
}

/**
 * A forming bar with the newest price in it: quotes come with every trade, forming candles twice a second. A quote of
 * another time than the bar's tells nothing of it.
 */
export function withQuote(bar: Candle, quote: Brief | undefined, seconds: number): Candle {
  const price = quote?.last ?? null;
  if (bar.closed || quote === undefined || price === null) return bar;
  if (quote.ts < bar.start || quote.ts >= bar.start + seconds * 1_000_000) return bar;
  return { ...bar, close: price, high: Math.max(bar.high, price), low: Math.min(bar.low, price) };
}
