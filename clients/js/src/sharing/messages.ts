import type { BackoffOptions } from "../backoff.ts";
import type { RawEvent } from "../events.ts";
import type { StreamState } from "../stream.ts";
import type { StreamError } from "../transports/transport.ts";
import type { WatchdogTimeout } from "../watchdog.ts";

/** The version of these messages. Pages with another version use another host. */
export const VERSION = 2;

/** The options of a stream, except its symbols. Clients with equal options share one stream. */
export interface StreamSpec {
  /** The absolute URL of the server, with a slash at the end. */
  server: string;
  /** Distinguishes users: clients of different users never share a stream. */
  user: string;
  /** The parameters of the request, except `symbols`, `client_id` and credentials. */
  query: Record<string, string>;
  clientName: string;
  transport: "fetch" | "eventsource";
  backoff: BackoffOptions;
  watchdog: WatchdogTimeout;
  withCredentials: boolean;
  renewable: boolean;
}

/** The part of a subscription that may change. */
export interface Wish {
  symbols: string[];
  /** The longest acceptable time between two updates of a symbol, in ms. */
  interval: number;
  /** The names of messages that an EventSource has to know. */
  names: string[];
}

/** What a client sends with a request: headers, query parameters, or both. */
export interface Credentials {
  headers: Record<string, string>;
  query: Record<string, string>;
}

export interface Subscribe {
  type: "subscribe";
  subscription: string;
  spec: StreamSpec;
  wish: Wish;
  /** The client has received all events up to this id; "" for a new client. */
  position: string;
  /** The symbols and patterns whose state at this position the client has received. */
  known: string[];
  /** The newest events that the client knows, from which a host can serve others. */
  state: RawEvent[];
}

export type ToHost =
  | Subscribe
  | { type: "wish"; subscription: string; wish: Wish }
  | { type: "unsubscribe"; subscription: string }
  | { type: "reconnect"; subscription: string }
  | { type: "credentials"; request: number; result: Credentials | StreamError }
  | { type: "acknowledge" }
  | { type: "detach" };

export interface SharedState {
  state: StreamState;
  error: StreamError | null;
  clientId: string;
  roundTripMs: number | null;
  /** The number of streams that the host has open or is opening. */
  connections: number;
}

export type ToClient =
  | { type: "events"; subscription: string; events: RawEvent[]; position: string }
  | { type: "state"; subscription: string; state: SharedState }
  | { type: "credentials"; subscription: string; request: number }
  /** The host does not know the subscriptions of this page any more: subscribe again. */
  | { type: "resync" }
  /** A sign of life. */
  | { type: "ping" };
