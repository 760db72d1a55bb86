// The JSON of the server, as docs/protocol.md defines it. Times are microseconds since 1970.

import type { Quote, Status } from "@tickwire/client";

export type { Bye, Candle, Gap, Quote, Status, Welcome } from "@tickwire/client";

/** The quote fields that the page's stream requests: enough for the board, at two thirds of the bytes of a full quote. */
export const BOARD_FIELDS = [
  "symbol",
  "last",
  "bid",
  "ask",
  "bid_size",
  "ask_size",
  "volume",
  "turnover",
  "open",
  "high",
  "low",
  "prev_close",
  "change",
  "change_rate",
  "ts",
] as const satisfies readonly (keyof Quote)[];
export type BoardQuote = Pick<Quote, (typeof BOARD_FIELDS)[number]>;

export interface Instrument {
  symbol: string;
  name: string | null;
  name_zh: string | null;
  exchange: string | null;
  sector: string | null;
  currency: string | null;
  tick_size: number | null;
  prev_close: number | null;
  eps: number | null;
  shares: number | null;
  lot_size: number | null;
  volatility: number | null;
}

export type Mode = Status["mode"];
export type FeedState = Status["state"];

/** An error response by RFC 9457, with this server's additions. */
export interface Problem {
  title: string;
  status: number;
  detail: string;
  field?: string;
  index?: number;
  position?: number;
  caret?: string;
  hint?: string;
}

/** The identity and rights of the token: `GET /v1/whoami`. */
export interface Whoami {
  user: string | null;
  scopes: string[];
  symbols: string[];
  events: string[] | null; // null: every kind
  interval: number; // ms
  delay: number; // seconds
  expires: number | null;
}

export type Command = "START" | "PAUSE" | "RESUME" | "STOP" | "STEP" | "SPEED" | "SEEK";

/** The times of a recording. */
export interface Recording {
  start: number;
  end: number;
  /** The start and the end of each pause that playback shortens. */
  pauses: [number, number][];
  /** The number of days that the replay adds to the recorded times. */
  shifted_days: number;
}

/** The feed: `GET /v1/simulator`. An external feed has no speed and no time. */
export interface Simulator {
  feed: string;
  mode: Mode;
  state: FeedState;
  speed?: number;
  time?: number | null; // market time
  behind?: number; // seconds
  halted?: string[];
  /** Null until the server has read the recording. */
  recording?: Recording | null;
  commands: Command[];
  model: { version: string; swaps: number; rejected: number; unreachable: number } | null;
  scenario: string | null;
  notice: string | null;
  notice_detail: string | null; // for admins
}

export interface SymbolModel {
  symbol: string;
  price: number;
  name: string | null;
  sector: string | null;
  volatility: number;
  jumps: unknown;
}

export interface Model {
  version: string;
  about: string | null;
  symbols: SymbolModel[];
  session: { open: string; close: string; timezone: string } | null;
  clusters: unknown;
  halts: { move: number; seconds: number } | null;
}

/** The series of `GET /v1/operations`. Flows are per second, latencies and loop delay in ms, memory in bytes. */
export type Series =
  | "ts"
  | "readers"
  | "behind"
  | "lag"
  | "ticks"
  | "deliveries"
  | "bytes"
  | "conflated"
  | "gaps"
  | "p50"
  | "p99"
  | "loop_delay"
  | "memory";

export type Samples = Record<Series, (number | null)[]>;

export interface Operations {
  version: string;
  uptime: number; // seconds
  head: string;
  problems: string[];
  feeds: { feed: string; mode: Mode; state: FeedState; last_tick_age: number | null }[];
  journal: { kind: string; events: number; bytes: number; expired: number; server_version?: string };
  readers: number;
  behind: number;
  max_readers: number;
  channels: number;
  lag: number;
  memory: number | null;
  totals: {
    events: number;
    ticks: number;
    deliveries: number;
    bytes: number;
    spared: number;
    stalls: number;
    conflated: number;
    gaps: number;
    opened: number;
    closed: Record<string, number>;
    refused: Record<string, number>;
  };
  history: Samples & { seconds: number };
}

/** One connected reader. */
export interface Client {
  id: string;
  user: string | null;
  since: number;
  subscription: {
    symbols: string[];
    events: string[];
    candles: string | null;
    delivery: "latest" | "all";
    interval: number; // ms
    filter: string | null;
  };
  position: string;
  behind: number;
  live: boolean;
  stalls: number;
  conflated: number;
  gaps: number;
  compression: string;
}
