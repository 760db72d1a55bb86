import { effect, signal } from "@preact/signals";
import { HttpError, request } from "../api/http";
import { PriceDelay } from "./priceDelay";

const CHECK_INTERVAL_MS = 1_000;
/** In a running market, a silence of this length makes the page ask the server whether it still answers. */
const PROBE_AFTER_MS = 4_000;
/** Without an event or an answer for this long, prices count as old. */
const SILENT_AFTER_MS = 8_000;
/**
 * In a market that stands still, probes are as rare as heartbeats, because the browser does not report heartbeats to
 * the page.
 */
const MAX_SILENT_HEARTBEATS = 2;
/** Prices that arrive later than this count as late. */
const LATE_AFTER_MS = 5_000;

/** The silence or the delay of the stream, in whole seconds; null while prices are current. */
export type Trouble = { kind: "silent" | "late"; seconds: number } | null;

interface WatchedStream {
  clientId: () => string;
  /** The heartbeat of the stream in ms; null while it is not open. */
  heartbeat: () => number | null;
  /** Whether the market runs, so that events should arrive all the time. */
  marketRuns: () => boolean;
  /** The shortest time between two updates that the server sends, in ms. */
  interval: () => number;
  onLost: () => void;
}

export const online = signal(navigator.onLine);
for (const name of ["online", "offline"]) {
  addEventListener(name, () => {
    online.value = navigator.onLine;
  });
}

/**
 * Measures how old the prices on the screen may be: the time since the last sign of life, and the delay of prices.
 *
 * A sign of life is an event of the stream or the answer to a probe. A probe asks whether the server still has the
 * stream; if it has not, `onLost` is called. A server that hangs does not answer at all. Call `recordEvent` with every
 * event and `restart` with every new connection.
 */
export class FreshnessMonitor {
  readonly trouble = signal<Trouble>(null);
  readonly delay = new PriceDelay();
  private lastSign = performance.now();
  private probe: AbortController | null = null;
  private probedAt = -Infinity;

  constructor(private readonly stream: WatchedStream) {
    window.setInterval(() => this.check(), CHECK_INTERVAL_MS);
    // A browser that reports no network may still reach a server on its own machine, so only a probe gives certainty.
    effect(() => {
      if (!online.value && this.stream.heartbeat() !== null) void this.sendProbe(performance.now());
    });
  }

  restart(now: number): void {
    this.delay.restart();
    this.recordEvent(now);
    this.trouble.value = null;
  }

  recordEvent(now: number): void {
    this.lastSign = now;
    if (this.trouble.value?.kind === "silent") this.trouble.value = null;
  }

  private check(): void {
    const heartbeat = this.stream.heartbeat();
    const now = performance.now();
    if (heartbeat === null) {
      this.trouble.value = null;
      return;
    }
    const patience = this.stream.marketRuns() ? 0 : MAX_SILENT_HEARTBEATS * heartbeat;
    const silence = now - this.lastSign;
    if (silence > patience + PROBE_AFTER_MS && now - this.probedAt > PROBE_AFTER_MS) void this.sendProbe(now);
    this.trouble.value = this.troubleAt(now, silence > patience + SILENT_AFTER_MS ? silence : 0);
  }

  private troubleAt(now: number, silence: number): Trouble {
    const previous = this.trouble.value;
    const delay = this.delay.at(now);
    const kind = silence > 0 ? "silent" : delay > LATE_AFTER_MS + this.stream.interval() ? "late" : null;
    if (kind === null) return null;
    const seconds = Math.round((kind === "silent" ? silence : delay) / 1000);
    return previous?.kind === kind && previous.seconds === seconds ? previous : { kind, seconds };
  }

  private async sendProbe(now: number): Promise<void> {
    this.probe?.abort();
    const probe = new AbortController();
    this.probe = probe;
    this.probedAt = now;
    try {
      await request(`v1/clients/${this.stream.clientId()}`, { signal: probe.signal });
      this.recordEvent(performance.now());
    } catch (error) {
      // A newer probe has replaced this probe.
      if (probe.signal.aborted) return;
      if (isRefusal(error)) this.recordEvent(performance.now());
      else if (this.stream.heartbeat() !== null) this.stream.onLost();
    }
  }
}

/** Whether the server rejected a probe, and so works. Any other error means that the stream or the server is gone. */
const isRefusal = (error: unknown): boolean => error instanceof HttpError && error.status !== 404 && error.status < 500;
