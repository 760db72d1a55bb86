import { request } from "../api/http";
import type { Candle } from "../api/types";
import { intervalSeconds } from "./intervals";

const DAY_MICROS = intervalSeconds["1d"] * 1_000_000;
const MAX_SESSIONS = 1_000;
/** The shortest time between two requests. */
const MIN_INTERVAL_MS = 60_000;

/** The starts of the sessions of a symbol, in microseconds since 1970. They are the starts of its daily candles. */
export class SessionStarts {
  starts: readonly number[] = [];
  private requestedAt = -Infinity;
  private closed = false;

  constructor(
    private readonly symbol: string,
    private readonly onLoaded: () => void,
  ) {}

  close(): void {
    this.closed = true;
  }

  /** The start of the newest session; 0 while it is unknown. */
  get newest(): number {
    return this.starts.at(-1) ?? 0;
  }

  /** Request the sessions unless they cover this time. */
  cover(time: number): void {
    const known = this.starts.length > 0 && time < this.newest + DAY_MICROS;
    const now = performance.now();
    if (known || now - this.requestedAt < MIN_INTERVAL_MS) return;
    this.requestedAt = now;
    void this.load();
  }

  private async load(): Promise<void> {
    try {
      const path = `v1/candles/${encodeURIComponent(this.symbol)}?interval=1d&limit=${MAX_SESSIONS}`;
      this.starts = (await request<Candle[]>(path)).map(({ start }) => start);
      if (!this.closed && this.starts.length > 0) this.onLoaded();
    } catch {
      // The next bar starts another request.
    }
  }
}
