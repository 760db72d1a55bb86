export interface BackoffOptions {
  /** The longest delay after the first failure. The longest delay doubles with every failure in a row. */
  minMs: number;
  maxMs: number;
}

/** The shortest delay. A random delay near 0 would make a failing client busy. */
const MIN_DELAY_MS = 50;

/**
 * The delays between attempts to connect: exponential, with full jitter.
 *
 * The server's own instructions have priority: the `reconnect_in_ms` of a `bye` or a `Retry-After` holds for one attempt,
 * and a `retry` field holds for the first attempt after every loss.
 */
export class Backoff {
  #failures = 0;
  #retryMs: number | null = null;
  #requestedMs: number | null = null;

  readonly #options: BackoffOptions;
  readonly #random: () => number;

  constructor(options: BackoffOptions, random: () => number = Math.random) {
    this.#options = options;
    this.#random = random;
  }

  /** Forget the failures, because a stream is open. */
  reset(): void {
    this.#failures = 0;
    this.#requestedMs = null;
  }

  /** Store the time in the `retry` field of a stream. */
  setRetry(ms: number): void {
    this.#retryMs = ms;
  }

  /** Use this delay before the next attempt. */
  request(ms: number): void {
    this.#requestedMs = ms;
  }

  /** Return the delay before the next attempt, in ms. */
  next(): number {
    const failures = this.#failures++;
    const requested = this.#requestedMs ?? (failures === 0 ? this.#retryMs : null);
    this.#requestedMs = null;
    if (requested !== null) return requested;
    const ceiling = Math.min(this.#options.maxMs, this.#options.minMs * 2 ** failures);
    return Math.max(MIN_DELAY_MS, this.#random() * ceiling);
  }
}
