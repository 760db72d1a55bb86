import type { BoardQuote, Candle } from "../api/types";

/** The effect of an update on the series. */
export type SeriesChange = "nothing" | "newest" | "inside" | "inserted";

/**
 * The candles of one symbol and interval: ordered by start, oldest first, each once.
 *
 * A closed candle is final. A candle from the stream replaces an open candle. A fetched open candle may be older than
 * the stream's candle for the same time, so it only fills a missing place.
 */
export class CandleSeries {
  private candles: Candle[] = [];

  get all(): readonly Candle[] {
    return this.candles;
  }

  get newest(): Candle | undefined {
    return this.candles.at(-1);
  }

  get oldest(): Candle | undefined {
    return this.candles[0];
  }

  /** The start of the first candle that may still change; null if all are closed. */
  get firstOpenStart(): number | null {
    return this.candles.find((candle) => !candle.closed)?.start ?? null;
  }

  clear(): void {
    this.candles = [];
  }

  /** Apply a candle from the stream. */
  update(candle: Candle): SeriesChange {
    const index = this.indexOf(candle.start);
    const current = this.candles[index];
    if (current?.start !== candle.start) {
      this.candles.splice(index, 0, candle);
      return index === this.candles.length - 1 ? "newest" : "inserted";
    }
    if (current.closed) return "nothing";
    this.candles[index] = candle;
    return index === this.candles.length - 1 ? "newest" : "inside";
  }

  /** Merge fetched candles, which may be older or newer than the present ones. */
  merge(candles: readonly Candle[]): void {
    const byStart = new Map(this.candles.map((candle) => [candle.start, candle]));
    for (const candle of candles) {
      if (candle.closed || !byStart.has(candle.start)) byStart.set(candle.start, candle);
    }
    this.candles = [...byStart.values()].sort((one, other) => one.start - other.start);
  }

  /** Return the newest candle that starts at or before `start`, and the previous candle. */
  barAt(start: number): { bar: Candle; previous: Candle | undefined } | null {
    const index = this.indexOf(start + 1) - 1;
    const bar = this.candles[index];
    return bar ? { bar, previous: this.candles[index - 1] } : null;
  }

  /**
   * Return the index of the candle that starts at `start`, or the index where such a candle belongs. The search begins
   * at the end, because nearly every update changes the newest candle.
   */
  private indexOf(start: number): number {
    let index = this.candles.length;
    while (index > 0 && (this.candles[index - 1] as Candle).start >= start) index -= 1;
    return index;
  }
}

/**
 * Return an open bar that also contains the newest price. Quotes arrive with every trade, but open candles only twice a
 * second.
 *
 * `seconds` is the length of the bar. A quote outside the bar's time leaves it unchanged.
 */
export function withQuote(bar: Candle, quote: BoardQuote | undefined, seconds: number): Candle {
  const price = quote?.last ?? null;
  if (bar.closed || quote === undefined || price === null) return bar;
  if (quote.ts < bar.start || quote.ts >= bar.start + seconds * 1_000_000) return bar;
  return { ...bar, close: price, high: Math.max(bar.high, price), low: Math.min(bar.low, price) };
}
