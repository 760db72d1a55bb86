import { HttpError, request } from "../api/http";
import type { BoardQuote, Candle } from "../api/types";
import { connection } from "../live/marketData";

const MAX_POINTS = 60;
/**
 * If a server is so young that it has fewer one-minute candles than this, the line shows the server's shortest candles.
 */
const MIN_MINUTES = 12;
const MINUTE = { interval: "1m", micros: 60_000_000 };
const SHORT = { interval: "5s", micros: 5_000_000 };
/**
 * The number of simultaneous requests. The browser has only six connections for all requests and streams of the page.
 */
const MAX_REQUESTS = 2;
/** A line that moves more often is not easier to read. */
const REDRAW_MS = 1000;

/** Closing prices, one per step of market time. The last price can still change. */
interface Sparkline {
  closes: number[];
  step: number; // microseconds
  bucket: number; // the number of the newest step
  drawnAt: number; // ms
}

/**
 * The recent price history of every symbol.
 *
 * The history before the page opened is loaded when a row is first visible. Requests wait while the server is away.
 */
export class Sparklines {
  private readonly sparklines = new Map<string, Sparkline>();
  private readonly requested = new Set<string>();
  private readonly queue: string[] = [];
  private running = 0;
  private readonly unsubscribe: () => void;

  /** `onHistory` is called when the history of a symbol is loaded. */
  constructor(private readonly onHistory: (symbol: string) => void) {
    this.unsubscribe = connection.subscribe(() => this.startWorkers());
  }

  close(): void {
    this.unsubscribe();
    this.queue.length = 0;
  }

  addPrice({ symbol, last, ts }: BoardQuote): void {
    let sparkline = this.sparklines.get(symbol);
    if (sparkline && (last === null || Math.floor(ts / sparkline.step) < sparkline.bucket - 1)) {
      // The market of the symbol begins again at an earlier time.
      this.sparklines.delete(symbol);
      sparkline = undefined;
      if (this.requested.delete(symbol)) this.requestHistory(symbol);
    }
    if (last === null) return;
    if (sparkline) {
      advance(sparkline, ts, last);
      return;
    }
    const bucket = Math.floor(ts / SHORT.micros);
    this.sparklines.set(symbol, { closes: [last], step: SHORT.micros, bucket, drawnAt: 0 });
  }

  /** Load the history of a symbol, once. */
  requestHistory(symbol: string): void {
    if (this.requested.has(symbol)) return;
    this.requested.add(symbol);
    this.queue.push(symbol);
    this.startWorkers();
  }

  /** Return the points of an SVG polyline in a box of 100 by 20; "" with fewer than two prices. */
  points(symbol: string): string {
    const closes = this.sparklines.get(symbol)?.closes ?? [];
    if (closes.length < 2) return "";
    const low = Math.min(...closes);
    const scale = 18 / (Math.max(...closes) - low || 1);
    const step = 100 / (closes.length - 1);
    return closes
      .map((close, index) => `${(index * step).toFixed(1)},${(19 - (close - low) * scale).toFixed(1)}`)
      .join(" ");
  }

  /** Whether it is time to redraw the symbol. True at most once per `REDRAW_MS`. */
  isDue(symbol: string, now: number): boolean {
    const sparkline = this.sparklines.get(symbol);
    if (!sparkline || now - sparkline.drawnAt < REDRAW_MS) return false;
    sparkline.drawnAt = now;
    return true;
  }

  private startWorkers(): void {
    for (let free = MAX_REQUESTS - this.running; free > 0 && this.queue.length > 0; free--) void this.drainQueue();
  }

  /** Load until the queue is empty or the server is away. */
  private async drainQueue(): Promise<void> {
    this.running += 1;
    while (connection.value === "open") {
      const symbol = this.queue.shift();
      if (symbol === undefined || !(await this.loadOrRequeue(symbol))) break;
    }
    this.running -= 1;
  }

  /**
   * Load the history, or queue the request again. Return whether the server answered.
   *
   * After an error response, the next row with this symbol requests the history again.
   */
  private async loadOrRequeue(symbol: string): Promise<boolean> {
    try {
      await this.load(symbol);
    } catch (error) {
      if (!(error instanceof HttpError)) {
        this.queue.unshift(symbol);
        return false;
      }
      this.requested.delete(symbol);
    }
    this.onHistory(symbol);
    return true;
  }

  private async load(symbol: string): Promise<void> {
    let size = MINUTE;
    let candles = await fetchCandles(symbol, size.interval);
    if (candles.length < MIN_MINUTES) {
      size = SHORT;
      candles = await fetchCandles(symbol, size.interval);
    }
    const newest = candles.at(-1);
    if (!newest) return;
    const live = this.sparklines.get(symbol)?.closes.at(-1) ?? newest.close;
    const closes = [...candles.map((each) => each.close), live];
    const bucket = Math.floor(newest.start / size.micros);
    this.sparklines.set(symbol, { closes, step: size.micros, bucket, drawnAt: 0 });
  }
}

function fetchCandles(symbol: string, interval: string): Promise<Candle[]> {
  return request(`v1/candles/${encodeURIComponent(symbol)}?interval=${interval}&limit=${MAX_POINTS}`);
}

function advance(sparkline: Sparkline, ts: number, last: number): void {
  const bucket = Math.floor(ts / sparkline.step);
  if (bucket <= sparkline.bucket) {
    sparkline.closes[sparkline.closes.length - 1] = last;
    return;
  }
  sparkline.bucket = bucket;
  sparkline.closes.push(last);
  if (sparkline.closes.length > MAX_POINTS) sparkline.closes.shift();
}
