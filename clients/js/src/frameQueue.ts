import type { Quote } from "./events.ts";
import { callSafely } from "./router.ts";

export type FrameHandler = (quotes: ReadonlyMap<string, Quote>) => void;

/** A frame at 60 Hz, for programs without a screen. */
const FRAME_MS = 16;

/**
 * Collects quotes, and hands out the newest quote of each symbol once per animation frame.
 *
 * Browsers show no frames of a hidden page. The quotes then wait, at most one per symbol.
 */
export class FrameQueue {
  private waiting = new Map<string, Quote>();
  private scheduled = false;
  private readonly handlers = new Set<FrameHandler>();

  add(handler: FrameHandler): void {
    this.handlers.add(handler);
  }

  remove(handler: FrameHandler): void {
    this.handlers.delete(handler);
  }

  push(quote: Quote): void {
    if (this.handlers.size === 0) return;
    this.waiting.set(quote.symbol, quote);
    if (this.scheduled) return;
    this.scheduled = true;
    if (typeof requestAnimationFrame === "undefined") setTimeout(this.flush, FRAME_MS);
    else requestAnimationFrame(this.flush);
  }

  /** Drop the waiting quotes, and call no handler again. */
  stop(): void {
    this.handlers.clear();
  }

  private readonly flush = (): void => {
    this.scheduled = false;
    const quotes = this.waiting;
    this.waiting = new Map();
    for (const handler of this.handlers) callSafely(handler, quotes);
  };
}
