import { ask, Refusal, refusal } from "../api/http";
import { refused, signOut, token } from "../api/session";
import type { Bye } from "../api/types";
import { crowded, hold, letGo } from "./tabs";

export type Connection = "connecting" | "open" | "waiting" | "refused" | "resting";

/** What a stream tells whoever opened it. `events` maps the name of an event to what takes its data. */
export interface Listener {
  quote?: (data: string, id: string) => void;
  events?: Record<string, (data: string, id: string) => void>;
  state?: (state: Connection, detail: string) => void;
}

const FIRST_WAIT = 500; // ms; doubles with each failure in a row
const LONGEST_WAIT = 15_000;
const REFUSED_WAIT = 60_000; // after a no that stays one until somebody changes rights or the server
const STAYING = [400, 403, 404];
const REST_AFTER = 30_000; // ms that a tab is hidden before its stream rests; coming back catches up from the last id

/**
 * One EventSource that stays. The browser reconnects by itself after a lost connection; where it gives up (an answer
 * that is no stream), and wherever a token is in use (its ticket is good once), we do, with the last id.
 *
 * A hidden tab lets go of its stream: it would be painted for nobody, and HTTP/1.1 gives all tabs together six
 * connections to one host. It does so at once where those are all taken. With `keep` it does not.
 */
export class Source {
  lastId = "";
  private source: EventSource | null = null;
  private timer = 0;
  private failures = 0;
  private hint = 0; // ms that a `bye` asked us to wait
  private closed = false;
  private resting = false;
  private restTimer = 0;
  private readonly unsubscribe: () => void;
  private readonly query: URLSearchParams;
  private readonly seen: (data: string, id: string) => void;

  constructor(
    query: Record<string, string>,
    private readonly listener: Listener,
    public keep = false,
  ) {
    this.query = new URLSearchParams(query);
    this.seen = listener.quote ?? (() => undefined);
    document.addEventListener("visibilitychange", this.onVisibility);
    void this.open();
    this.unsubscribe = crowded.subscribe(this.onVisibility);
  }

  /** For good. */
  close(): void {
    this.closed = true;
    document.removeEventListener("visibilitychange", this.onVisibility);
    window.clearTimeout(this.restTimer);
    this.unsubscribe();
    this.drop();
  }

  /** Now, not when the wait is over. */
  reconnect(): void {
    this.failures = 0;
    this.hint = 0;
    this.drop();
    void this.open();
  }

  private async open(): Promise<void> {
    if (this.closed) return;
    this.say("connecting", "");
    try {
      const url = await this.url();
      if (!this.closed && !this.resting && this.source === null) this.listen(new EventSource(url));
    } catch (error) {
      this.again(error);
    }
  }

  private async url(): Promise<string> {
    const query = new URLSearchParams(this.query);
    if (this.lastId) query.set("last_event_id", this.lastId);
    if (token.value !== null) {
      const { ticket } = await ask<{ ticket: string }>("v1/tickets", { method: "POST" });
      query.set("ticket", ticket);
    }
    return `v1/stream?${query}`;
  }

  private listen(source: EventSource): void {
    this.source = source;
    hold(this);
    source.onopen = () => this.opened();
    source.onmessage = (event: MessageEvent<string>) => {
      if (event.lastEventId) this.lastId = event.lastEventId; // one without an id does not take the position back
      this.seen(event.data, event.lastEventId);
    };
    source.onerror = () => this.lost(source);
    const events = { ...this.listener.events, bye: this.bye };
    for (const [name, take] of Object.entries(events)) {
      source.addEventListener(name, (event) => {
        if (event.lastEventId) this.lastId = event.lastEventId;
        take(event.data as string, event.lastEventId);
      });
    }
  }

  private opened(): void {
    this.failures = 0;
    this.hint = 0;
    this.say("open", "");
  }

  private readonly bye = (data: string, id: string): void => {
    const { reason, reconnect_in_ms } = JSON.parse(data) as Bye;
    this.hint = reconnect_in_ms;
    this.listener.events?.bye?.(data, id);
    if (reason === "expired" && token.value !== null) signOut("expired");
  };

  private lost(source: EventSource): void {
    if (source !== this.source || refused.value !== null) return;
    if (source.readyState === EventSource.CONNECTING && token.value === null) {
      this.say("waiting", "");
      return; // the browser tries again, with the last id
    }
    const gaveUp = source.readyState === EventSource.CLOSED;
    this.drop();
    if (gaveUp) void this.askWhy();
    else this.again(null);
  }

  /** An EventSource does not say what it was answered: ask for the same once more, and read only the head. */
  private async askWhy(): Promise<void> {
    const stop = new AbortController();
    const used = token.value;
    try {
      const answer = await fetch(await this.url(), { signal: stop.signal });
      this.again(answer.ok ? null : await refusal(answer, used));
    } catch (error) {
      this.again(error);
    } finally {
      stop.abort();
    }
  }

  private again(error: unknown): void {
    if (this.closed || this.resting || this.source || refused.value !== null) return;
    const asked = Math.max(this.hint, error instanceof Refusal ? (error.retryAfter ?? 0) * 1000 : 0);
    const most = Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** this.failures++);
    this.hint = 0;
    // With jitter, or all readers of a server that was restarted would come back in the same moment.
    const staying = error instanceof Refusal && STAYING.includes(error.status);
    const wait = asked || (staying ? REFUSED_WAIT : most) * (0.5 + Math.random() / 2);
    this.say("waiting", error instanceof Refusal ? error.message : "");
    this.timer = window.setTimeout(() => void this.open(), wait);
  }

  private readonly onVisibility = (): void => {
    if (this.keep) return;
    window.clearTimeout(this.restTimer);
    if (!document.hidden) this.wake();
    else if (crowded.value) this.rest();
    else this.restTimer = window.setTimeout(() => this.rest(), REST_AFTER);
  };

  private rest(): void {
    if (this.resting) return;
    this.resting = true;
    this.drop();
    this.say("resting", "");
  }

  private wake(): void {
    if (!this.resting) return;
    this.resting = false;
    this.reconnect();
  }

  private drop(): void {
    window.clearTimeout(this.timer);
    this.source?.close();
    this.source = null;
    letGo(this);
  }

  private say(state: Connection, detail: string): void {
    this.listener.state?.(state, detail);
  }
}
