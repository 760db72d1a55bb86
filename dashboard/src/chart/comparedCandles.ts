import { HttpError, request } from "../api/http";
import type { Candle } from "../api/types";
import { quotes } from "../live/marketData";
import { alignedCloses } from "./indicators";
import type { Interval } from "./intervals";

/** The server's limit for one response. */
const MAX_CANDLES = 5_000;
/** 100,000 candles are more than anybody scrolls through. */
const MAX_PAGES = 20;
/** The shortest time between two requests. The newest price comes from the page's stream. */
const MIN_INTERVAL_MS = 2_000;

/**
 * The closes of another symbol for the bars of a chart.
 *
 * This object requests past candles. The close of the newest bar is the symbol's newest price.
 */
export class ComparedCandles {
  private candles: Candle[] = [];
  /** The starts of the first and the last bar at the last request. */
  private requested: readonly [number, number] | null = null;
  private timer = 0;
  private closed = false;

  constructor(
    readonly symbol: string,
    private readonly interval: Interval,
    private readonly onLoaded: () => void,
  ) {}

  close(): void {
    this.closed = true;
    window.clearTimeout(this.timer);
  }

  get newest(): number | null {
    return quotes.get(this.symbol)?.last ?? this.candles.at(-1)?.close ?? null;
  }

  /** Return the close for each bar. Request candles if bars were added. */
  closesFor(bars: readonly Candle[]): (number | null)[] {
    const [first, last] = [bars[0], bars.at(-1)];
    if (first && last && (this.requested?.[0] !== first.start || this.requested[1] !== last.start)) {
      this.requested = [first.start, last.start];
      this.scheduleLoad(first.start);
    }
    return alignedCloses(bars, this.candles);
  }

  private scheduleLoad(start: number): void {
    window.clearTimeout(this.timer);
    this.timer = window.setTimeout(() => void this.load(start), this.candles.length === 0 ? 0 : MIN_INTERVAL_MS);
  }

  private async load(start: number): Promise<void> {
    try {
      this.candles = await this.fetchSince(start);
      if (!this.closed) this.onLoaded();
    } catch (error) {
      // A symbol without candles has no line. After any other failure, the next bar starts another attempt.
      if (!(error instanceof HttpError)) this.requested = null;
    }
  }

  private async fetchSince(start: number): Promise<Candle[]> {
    const candles: Candle[] = [];
    for (let page = 0; page < MAX_PAGES && !this.closed; page++) {
      const from = String((candles.at(-1)?.start ?? start - 1) + 1);
      const query = new URLSearchParams({ interval: this.interval, start: from, limit: String(MAX_CANDLES) });
      const next = await request<Candle[]>(`v1/candles/${encodeURIComponent(this.symbol)}?${query}`);
      candles.push(...next);
      if (next.length < MAX_CANDLES) break;
    }
    return candles;
  }
}
