// The events of a stream, as the protocol of the server defines them. Times are microseconds since 1970.

import type { Quote } from "./quote.ts";

export type { Quote };

export interface Candle {
  symbol: string;
  interval: string;
  start: number;
  open: number;
  high: number;
  low: number;
  close: number;
  volume: number;
  closed: boolean;
}

/** All symbols that match the filter, or the first symbols in the order of the stream. */
export interface Matches {
  filter: string | null;
  symbols: string[];
}

/**
 * A symbol that entered or left the set of matching symbols, or the set of the first symbols.
 *
 * If the token has a filter, the quote of a `leave` has only the key `symbol`.
 */
export interface Move {
  filter: string | null;
  symbol: string;
  quote: Quote;
}

export interface Status {
  feed: string;
  mode: "simulated" | "replay" | "live";
  state: "waiting" | "running" | "paused" | "stale" | "closed" | "halted";
  speed: number;
  symbol: string | null;
  last_tick_ts: number | null;
  halted: string[];
  model: string | null;
  scenario: string | null;
  notice: string | null;
  command: string | null;
  connection: string | null;
  sources: Record<string, unknown>;
}

export interface Correction {
  symbol: string;
  ts: number;
  last: number;
  size: number;
  corrected_last: number | null;
  corrected_size: number | null;
}

/** The subscription in force. `interval` is in milliseconds. */
export interface Subscription {
  symbols: string[];
  events: string[];
  candles: string | null;
  delivery: "latest" | "all";
  interval: number;
  filter: string | null;
  fields: string[];
  order?: string;
  top?: number;
  snapshot: boolean;
}

/** The first event of a stream. `heartbeat` and `delay` are in seconds. */
export interface Welcome {
  client_id: string;
  head: string;
  mode: "simulated" | "replay" | "live";
  heartbeat: number;
  delay: number;
  subscription: Subscription;
  resume: { asked: string; from: string; complete: boolean; reason: string | null } | null;
}

export interface Gap {
  from: string;
  to: string;
  reason: "expired" | "epoch" | "unreadable";
}

/** A heartbeat: the stream was silent, but the server is alive. `head` is the newest event id of the server. */
export interface Heartbeat {
  ts: number;
  head: string;
}

export interface Expiring {
  in_ms: number;
}

export interface Bye {
  reason: "drain" | "lifetime" | "expired" | "evicted" | "limit" | "error";
  reconnect_in_ms: number;
}

/** The data of each event of the server. All other names are messages, whose data the sender chooses. */
export interface EventMap {
  quote: Quote;
  candle: Candle;
  matches: Matches;
  enter: Move;
  leave: Move;
  status: Status;
  correction: Correction;
  welcome: Welcome;
  subscription: Subscription;
  gap: Gap;
  heartbeat: Heartbeat;
  expiring: Expiring;
  bye: Bye;
}

/** The names of the server's own events, except `heartbeat`, which a stream contains only on request. */
export const EVENT_NAMES = [
  "quote",
  "candle",
  "matches",
  "enter",
  "leave",
  "status",
  "correction",
  "welcome",
  "subscription",
  "gap",
  "expiring",
  "bye",
] as const satisfies readonly (keyof EventMap)[];

/** An event as it was received: its name ("quote" if the event has none), its JSON, and its id or "". */
export type RawEvent = readonly [name: string, text: string, id: string];
