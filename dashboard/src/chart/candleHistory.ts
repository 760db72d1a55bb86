import { signal } from "@preact/signals";
import { HttpError, request } from "../api/http";
import type { Candle, Gap, Quote } from "../api/types";
import { type ConnectionState, EventStream } from "../live/eventStream";
import { CandleSeries } from "./candleSeries";
import type { Interval } from "./intervals";

/** The first page: more candles than a wide screen has room for. */
const INITIAL_CANDLES = 600;
const PAGE_CANDLES = 1_000;
/** The server's limit for one response. */
const MAX_CANDLES = 5_000;
/** The delay before a retry, unless the server sends one. */
const RETRY_MS = 2_000;

/** The state of the chart. The stream may bring the first candle at any time. */
export type HistoryState = "loading" | "shown" | "empty" | "unknown" | "refused";

export interface HistoryListener {
  onReplaced: () => void; // many candles changed at once
  onBar: (bar: Candle, how: "newest" | "inside") => void;
}

/**
 * The past and live candles of a symbol.
 *
 * The stream opens first. Each `welcome` (of the first connection and of each reconnect) then loads the candles that
 * are missing or may have changed. So no candle is lost between the history and the stream. A candle that arrives from
 * both is stored once.
 */
export class CandleHistory {
  readonly series = new CandleSeries();
  readonly state = signal<HistoryState>("loading");
  /** The state of the stream of candles. */
  readonly connection = signal<ConnectionState>("connecting");
  /** The server's explanation of a refusal. */
  readonly serverMessage = signal("");
  /** The newest quote with all fields. The stream of the page omits some of the fields. */
  readonly quote = signal<Quote | null>(null);
  /** Whether the first page is loaded. After the first page, only missing candles are loaded. */
  private initialLoaded = false;
  private hasOlder = true;
  private loadingOlder = false;
  /** Every load has a number. The response to an earlier load is discarded. */
  private generation = 0;
  private timer = 0;
  private readonly stream: EventStream;
  private readonly path: string;

  constructor(
    symbol: string,
    private readonly interval: Interval,
    private readonly listener: HistoryListener,
  ) {
    this.path = `v1/candles/${encodeURIComponent(symbol)}`;
    this.stream = new EventStream(
      { symbols: [symbol], events: ["candle", "quote"], candles: interval },
      {
        quote: (quote) => {
          this.quote.value = quote;
        },
        state: (state, detail) => {
          this.connection.value = state;
          if ((state === "retrying" || state === "closed") && detail) this.setRefused(detail);
        },
        events: {
          welcome: () => void this.load(),
          candle: (candle: Candle) => this.onCandle(candle),
          gap: (gap: Gap) => this.onGap(gap),
        },
      },
    );
  }

  close(): void {
    this.generation += 1;
    window.clearTimeout(this.timer);
    this.stream.close();
  }

  /** All candles that start at or after this time are loaded. */
  get loadedFrom(): number {
    return this.hasOlder ? (this.series.oldest?.start ?? Infinity) : -Infinity;
  }

  /** Load the page before the oldest candle, if there is one. */
  async loadOlder(): Promise<void> {
    const oldest = this.series.oldest;
    if (this.loadingOlder || !this.hasOlder || !oldest) return;
    this.loadingOlder = true;
    const generation = this.generation;
    try {
      const candles = await this.fetchCandles({ end: oldest.start, limit: PAGE_CANDLES });
      if (generation !== this.generation) return;
      this.hasOlder = candles.length === PAGE_CANDLES;
      if (candles.length > 0) this.merge(candles);
    } catch {
      // If the load failed, further scrolling starts another attempt.
    } finally {
      this.loadingOlder = false;
    }
  }

  /** Discard all candles and load them again, because the server may have another history. */
  restart(): void {
    this.series.clear();
    this.initialLoaded = false;
    this.hasOlder = true;
    this.listener.onReplaced();
    void this.load();
  }

  private onCandle(candle: Candle): void {
    // After a seek backwards, a recording plays earlier candles again.
    if (!candle.closed && this.series.newest && candle.start < this.series.newest.start) {
      this.restart();
      return;
    }
    const change = this.series.update(candle);
    this.state.value = "shown";
    if (change === "inserted") this.listener.onReplaced();
    else if (change !== "nothing") this.listener.onBar(candle, change);
  }

  /**
   * Load candles. The first load requests the newest candles, and each later load requests all candles from the first
   * candle that may still change.
   */
  private async load(): Promise<void> {
    window.clearTimeout(this.timer);
    const generation = ++this.generation;
    try {
      await (this.initialLoaded ? this.loadMissing(generation) : this.loadInitial(generation));
    } catch (error) {
      if (generation === this.generation) this.onLoadError(error);
    }
  }

  private async loadInitial(generation: number): Promise<void> {
    const candles = await this.fetchCandles({ limit: INITIAL_CANDLES });
    if (generation !== this.generation) return;
    this.initialLoaded = true;
    this.hasOlder = candles.length === INITIAL_CANDLES;
    this.merge(candles);
    if (this.state.value !== "shown") this.state.value = "empty";
  }

  private async loadMissing(generation: number): Promise<void> {
    let start = this.series.firstOpenStart ?? (this.series.newest?.start ?? 0) + 1;
    for (let full = true; full; ) {
      const candles = await this.fetchCandles({ start, limit: MAX_CANDLES });
      if (generation !== this.generation) return;
      this.merge(candles);
      full = candles.length === MAX_CANDLES;
      start = (candles.at(-1)?.start ?? 0) + 1;
    }
  }

  private merge(candles: readonly Candle[]): void {
    this.series.merge(candles);
    if (this.series.newest) this.state.value = "shown";
    this.listener.onReplaced();
  }

  private fetchCandles(query: Record<string, number>): Promise<Candle[]> {
    const numbers = Object.entries(query).map(([key, value]) => [key, String(value)]);
    return request<Candle[]>(`${this.path}?${new URLSearchParams([["interval", this.interval], ...numbers])}`);
  }

  private onLoadError(error: unknown): void {
    const status = error instanceof HttpError ? error.status : 0;
    if (status === 404) this.setUnknown();
    else if (status === 400 || status === 403) this.setRefused((error as HttpError).message);
    else this.timer = window.setTimeout(() => void this.load(), retryDelay(error));
  }

  /** Show that the symbol has not traded on this server. The stream will send its first trade. */
  private setUnknown(): void {
    this.initialLoaded = true;
    this.hasOlder = false;
    if (this.state.value !== "shown") this.state.value = "unknown";
  }

  private setRefused(message: string): void {
    this.serverMessage.value = message;
    if (this.state.value !== "shown") this.state.value = "refused";
  }

  private onGap({ reason }: Gap): void {
    // After any other gap, the load that `welcome` starts fills the gap.
    if (reason !== "epoch") return;
    this.quote.value = null;
    this.restart();
  }
}

const retryDelay = (error: unknown): number =>
  error instanceof HttpError && error.retryAfter !== null ? error.retryAfter * 1000 : RETRY_MS;
