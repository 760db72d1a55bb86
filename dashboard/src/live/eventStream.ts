import { signal } from "@preact/signals";
import {
  type ClientOptions,
  type ClientStatus,
  type StreamError,
  type StreamEvent,
  TickwireClient,
} from "@tickwire/client";
import { userName } from "../api/rights";
import { signInReason, signOut, token } from "../api/session";
import type { Bye, Quote } from "../api/types";
import { words } from "../words";
import { connectionsExhausted, reportConnections } from "./connectionLimit";

/** `retrying` waits for the next attempt; `closed` waits for the user; `suspended` is closed while its tab is hidden. */
export type ConnectionState = "connecting" | "open" | "retrying" | "closed" | "signed-out" | "suspended";

/** The callbacks of a stream. `events` maps the name of an event to the handler of its decoded data. */
export interface StreamHandlers {
  quote?: (quote: Quote, event: StreamEvent) => void;
  // biome-ignore lint/suspicious/noExplicitAny: each event has data of another type
  events?: Record<string, (data: any, event: StreamEvent) => void>;
  state?: (state: ConnectionState, detail: string) => void;
}

/** The streams of this tab that the server has ended for good. Only the user opens them again. */
const closedStreams = signal<ReadonlySet<EventStream>>(new Set());
export const hasClosedStreams = (): boolean => closedStreams.value.size > 0;

export function reconnectClosedStreams(): void {
  for (const stream of closedStreams.value) stream.reconnect();
}

/** The status of a stream that the server has evicted. */
const EVICTED = 204;
/** The stream of a tab that is hidden for longer is suspended. */
const SUSPEND_AFTER_MS = 30_000;

/**
 * A subscription to events of the server. All tabs share the connections of equal subscriptions.
 *
 * Over HTTP/1.1, all tabs share six connections to one host. A hidden tab therefore suspends its subscription after a
 * while, or at once if no connection is free. With `keepWhileHidden`, a hidden tab keeps its subscription.
 */
export class EventStream {
  private readonly client: TickwireClient;
  private readonly unsubscribe: () => void;
  private previous = "";
  private keeps: boolean;

  constructor(
    options: ClientOptions,
    private readonly handlers: StreamHandlers,
    keepWhileHidden = false,
  ) {
    this.keeps = keepWhileHidden;
    this.client = new TickwireClient({
      ...options,
      ...identity(),
      clientName: "page",
      pauseAfterMs: this.pauseAfterMs,
    });
    if (handlers.quote) this.client.on("quote", handlers.quote);
    for (const [name, handler] of Object.entries(handlers.events ?? {})) this.client.on(name, handler);
    this.client.on("bye", onBye);
    this.client.onState((status) => this.onStatus(status));
    this.unsubscribe = connectionsExhausted.subscribe(() => this.client.setPauseAfter(this.pauseAfterMs));
  }

  /** The id of the last event. */
  get lastId(): string {
    return this.client.status().position;
  }

  set keepWhileHidden(on: boolean) {
    this.keeps = on;
    this.client.setPauseAfter(this.pauseAfterMs);
  }

  /** Change the shortest time between two updates of a symbol, in ms. */
  setInterval(ms: number): void {
    this.client.setInterval(`${ms}ms`);
  }

  /** Close the stream for good. */
  close(): void {
    this.unsubscribe();
    this.client.close();
    this.markClosed(false);
  }

  /** Reconnect at once and reset the backoff. */
  reconnect(): void {
    this.client.reconnect();
  }

  private get pauseAfterMs(): number | null {
    if (this.keeps) return null;
    return connectionsExhausted.value ? 0 : SUSPEND_AFTER_MS;
  }

  private markClosed(closed: boolean): void {
    if (closedStreams.peek().has(this) === closed) return;
    const next = new Set(closedStreams.peek());
    if (closed) next.add(this);
    else next.delete(this);
    closedStreams.value = next;
  }

  private onStatus({ state, error, connections }: ClientStatus): void {
    reportConnections(connections);
    if (state === "closed" && error?.status === 401) signOutAfter(error.message);
    if (signInReason.value !== null) return;
    const detail = error === null ? "" : detailOf(error);
    const shown = state === "paused" ? "suspended" : state;
    this.markClosed(shown === "closed");
    if (this.previous === `${shown} ${detail}`) return;
    this.previous = `${shown} ${detail}`;
    this.handlers.state?.(shown, detail);
  }
}

/** Return an explanation of an error in the page's language; "" if the page has none. */
function detailOf({ status, message }: StreamError): string {
  if (status === EVICTED) return words.value.connection.evicted;
  // If the server did not answer, `message` is a text of the browser in the browser's language.
  return status > 0 ? message : "";
}

/** Return the options of the client that separate the streams of different users. */
function identity(): Pick<ClientOptions, "token" | "user"> {
  if (token.value !== null) return { token: token.value };
  // If a cookie or a proxy identifies the user, the client cannot find the user by itself.
  const user = userName.peek();
  return user === null ? {} : { user: user ? `user ${user}` : "nobody" };
}

function onBye({ reason }: Bye): void {
  if (reason === "expired" && token.value !== null) signOut("expired");
}

/** Open the sign-in form, unless it is open already. */
function signOutAfter(rejection: string): void {
  if (signInReason.value !== null) return;
  if (token.value === null) signOut("required");
  else signOut("rejected", rejection);
}
