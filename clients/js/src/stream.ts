import { Backoff, type BackoffOptions } from "./backoff.ts";
import type { Bye, Expiring, RawEvent, Welcome } from "./events.ts";
import { openEventSource, showsHeartbeats } from "./transports/eventSource.ts";
import { openFetch } from "./transports/fetch.ts";
import { type Connection, type StreamError, type StreamRequest, toStreamError } from "./transports/transport.ts";
import { Watchdog, type WatchdogTimeout } from "./watchdog.ts";

/** `retrying` waits for the next attempt; `closed` is final until somebody calls `reconnect`. */
export type StreamState = "connecting" | "open" | "retrying" | "closed";

export interface StreamOptions {
  transport: "fetch" | "eventsource";
  backoff: BackoffOptions;
  watchdog: WatchdogTimeout;
  /** Whether another request has fresh credentials, so that an expired token is not final. */
  renewable: boolean;
}

export interface StreamListener {
  /** Return the request of the next connection, which resumes at `position`. */
  request: (position: string) => Promise<StreamRequest>;
  onEvents: (events: RawEvent[]) => void;
  onState: (state: StreamState, error: StreamError | null) => void;
}

/** The answers that last until somebody changes the rights, the request or the server. */
const LASTING_REFUSALS = [400, 403, 404, 413];
/** The shortest delay after an answer with one of these statuses. */
const REFUSED_DELAY_MS = 30_000;
const MIN_RENEWAL_MS = 1_000;
/** The events that end a stream or renew it. The names are matched before the JSON is parsed. */
const CONTROL_EVENTS = ["welcome", "expiring", "bye"];

/** One stream of the server. It reconnects with the last event id, until a final reason ends it. */
export class Stream {
  /** The id of the last event. The next connection resumes there. */
  position = "";
  state: StreamState = "connecting";
  /** The time from the newest request to its answer, in ms. */
  roundTripMs: number | null = null;
  #connection: Connection | null = null;
  #attempt = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #backoff: Backoff;
  readonly #watchdog: Watchdog;
  #names: Iterable<string> = [];
  #rejectedTokens = 0;

  readonly #options: StreamOptions;
  readonly #listener: StreamListener;

  constructor(options: StreamOptions, listener: StreamListener) {
    this.#options = options;
    this.#listener = listener;
    this.#backoff = new Backoff(options.backoff);
    this.#watchdog = new Watchdog(options.watchdog, (silence) =>
      this.#retry({ status: 0, message: `no data for ${Math.round(silence / 1000)} s`, retryAfterMs: null }),
    );
  }

  /** Open the stream at once, and reset the backoff. */
  reconnect(): void {
    this.#backoff.reset();
    this.#setState("connecting", null);
    void this.#open();
  }

  /**
   * Open another connection at `position`, unless the stream is closed. The state changes only if the new connection
   * fails.
   */
  resumeFrom(position: string): void {
    this.position = position;
    if (this.state !== "closed") void this.#open();
  }

  close(): void {
    this.#disconnect();
    this.state = "closed";
  }

  /** Receive events with these names, which only an EventSource has to know in advance. */
  listen(names: Iterable<string>): void {
    this.#names = names;
    this.#connection?.listen(names);
  }

  async #open(): Promise<void> {
    this.#disconnect();
    const attempt = this.#attempt;
    try {
      const request = await this.#listener.request(this.position);
      if (attempt === this.#attempt) this.#connect(request);
    } catch (error) {
      if (attempt === this.#attempt) this.#end(toStreamError(error));
    }
  }

  #connect(request: StreamRequest): void {
    const { transport } = this.#options;
    const requestedAt = performance.now();
    const watched = this.#options.watchdog !== "dynamic" || transport === "fetch" || showsHeartbeats(request.url);
    if (watched) this.#watchdog.start();
    const attempt = this.#attempt;
    const open = transport === "fetch" ? openFetch : openEventSource;
    this.#connection = open(
      request,
      {
        onOpen: () => {
          this.roundTripMs = performance.now() - requestedAt;
          this.#watchdog.setRoundTrip(this.roundTripMs);
          this.#watchdog.feed();
        },
        onBytes: () => this.#watchdog.feed(),
        onEvents: (events) => this.#receive(events, watched, attempt),
        onRetry: (ms) => this.#backoff.setRetry(ms),
        onEnd: (error) => this.#end(error),
      },
      () => this.#listener.request(this.position),
    );
    this.#connection.listen(this.#names);
  }

  #receive(events: RawEvent[], watched: boolean, attempt: number): void {
    let last: Bye | null = null;
    for (const [name, text, id] of events) {
      // After an eviction, the id of the `bye` is no position: the server answers 204 to it.
      if (id !== "" && name !== "bye") this.position = id;
      if (!CONTROL_EVENTS.includes(name)) continue;
      if (name === "welcome") this.#welcome(JSON.parse(text) as Welcome, watched);
      else if (name === "expiring") this.#renewLater(JSON.parse(text) as Expiring);
      else last = JSON.parse(text) as Bye;
    }
    this.#listener.onEvents(events);
    if (last && attempt === this.#attempt) this.#bye(last);
  }

  #welcome({ heartbeat }: Welcome, watched: boolean): void {
    this.#backoff.reset();
    this.#rejectedTokens = 0;
    if (watched) this.#watchdog.setHeartbeat(heartbeat * 1000);
    this.#setState("open", null);
  }

  /** Connect with new credentials when half of the token's remaining time has passed. */
  #renewLater({ in_ms }: Expiring): void {
    if (!this.#options.renewable) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#open(), Math.max(MIN_RENEWAL_MS, in_ms / 2));
  }

  #bye({ reason, reconnect_in_ms }: Bye): void {
    // The server rejects an expired token from now on, and an operator does not want an evicted reader back.
    if (reason === "expired" && !this.#options.renewable) {
      this.#finish({ status: 401, message: "the token has expired", retryAfterMs: null });
      return;
    }
    if (reason === "evicted") {
      this.#finish({ status: 204, message: "the server has evicted this reader", retryAfterMs: null });
      return;
    }
    this.#backoff.request(reconnect_in_ms);
    this.#retry(null);
  }

  #end(error: StreamError | null): void {
    if (error?.status === 204) this.#finish(error);
    else if (error?.status === 401 && (!this.#options.renewable || this.#rejectedTokens++ > 0)) this.#finish(error);
    else this.#retry(error);
  }

  #finish(error: StreamError): void {
    this.#disconnect();
    this.#setState("closed", error);
  }

  #retry(error: StreamError | null): void {
    this.#disconnect();
    if (error?.retryAfterMs) this.#backoff.request(error.retryAfterMs);
    const delay = Math.max(this.#backoff.next(), isLastingRefusal(error) ? REFUSED_DELAY_MS * (1 + Math.random()) : 0);
    this.#setState("retrying", error);
    this.#timer = setTimeout(() => {
      this.#setState("connecting", error);
      void this.#open();
    }, delay);
  }

  #disconnect(): void {
    this.#attempt += 1;
    clearTimeout(this.#timer);
    this.#watchdog.stop();
    this.#connection?.close();
    this.#connection = null;
  }

  #setState(state: StreamState, error: StreamError | null): void {
    this.state = state;
    this.#listener.onState(state, error);
  }
}

export const isLastingRefusal = (error: StreamError | null): boolean =>
  error !== null && LASTING_REFUSALS.includes(error.status);
