/** `dynamic` derives the time-out from measurements; a number is a time-out in ms; null turns the watchdog off. */
export type WatchdogTimeout = "dynamic" | number | null;

const FACTOR = 3;
const FLOOR_MS = 3_000;
const CEILING_MS = 120_000;
/** The time-out before the first event, when neither the round trip nor the heartbeat interval is known. */
const INITIAL_MS = 20_000;

/**
 * Reports a connection that delivers nothing for too long, such as a half-open one.
 *
 * The server sends a heartbeat after each interval without other data. The dynamic time-out is three times this interval or
 * the measured round trip, whichever is longer.
 */
export class Watchdog {
  #timer: ReturnType<typeof setTimeout> | undefined;
  #lastSign = 0;
  #roundTripMs = 0;
  #heartbeatMs = 0;

  readonly #timeout: WatchdogTimeout;
  readonly #onSilence: (silenceMs: number) => void;

  constructor(timeout: WatchdogTimeout, onSilence: (silenceMs: number) => void) {
    this.#timeout = timeout;
    this.#onSilence = onSilence;
  }

  get timeoutMs(): number | null {
    if (this.#timeout !== "dynamic") return this.#timeout;
    if (this.#heartbeatMs === 0) return INITIAL_MS;
    return Math.min(CEILING_MS, Math.max(FLOOR_MS, FACTOR * Math.max(this.#roundTripMs, this.#heartbeatMs)));
  }

  /** Start to watch a connection whose heartbeat interval is not known yet. */
  start(): void {
    this.#heartbeatMs = 0;
    this.feed();
    this.#schedule();
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  setRoundTrip(ms: number): void {
    this.#roundTripMs = ms;
  }

  setHeartbeat(ms: number): void {
    this.#heartbeatMs = ms;
    this.#schedule();
  }

  /** Record a sign of life. This is called for every chunk of data, so it does not restart the timer. */
  feed(): void {
    this.#lastSign = performance.now();
  }

  #schedule(): void {
    clearTimeout(this.#timer);
    const timeout = this.timeoutMs;
    if (timeout === null) return;
    this.#timer = setTimeout(() => this.#check(timeout), Math.max(0, this.#lastSign + timeout - performance.now()));
  }

  #check(timeout: number): void {
    const silence = performance.now() - this.#lastSign;
    // A timer may fire a fraction of a millisecond early.
    if (silence < timeout - 1) this.#schedule();
    else this.#onSilence(silence);
  }
}
