// What the server says, as docs/protocol.md has it. Times are microseconds since 1970.

export interface Quote {
  symbol: string;
  last: number | null;
  bid: number | null;
  ask: number | null;
  bid_size: number | null;
  ask_size: number | null;
  volume: number | null;
  turnover: number | null;
  open: number | null;
  high: number | null;
  low: number | null;
  prev_close: number | null;
  change: number | null;
  change_rate: number | null; // percent
  vwap: number | null;
  pe: number | null;
  market_cap: number | null;
  ts: number;
}

/** What the page's own stream asks for of each quote: enough for the board and a headline, in two thirds of the bytes. */
export const BRIEF = [
  "symbol",
  "last",
  "bid",
  "ask",
  "bid_size",
  "ask_size",
  "volume",
  "open",
  "high",
  "low",
  "prev_close",
  "change",
  "change_rate",
  "ts",
] as const satisfies readonly (keyof Quote)[];
export type Brief = Pick<Quote, (typeof BRIEF)[number]>;

export interface Instrument {
  symbol: string;
  name: string | null;
  exchange: string | null;
  sector: string | null;
  currency: string | null;
  tick_size: number | null;
  prev_close: number | null;
  eps: number | null;
  shares: number | null;
  volatility: number | null;
}

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

export type Mode = "simulated" | "replay" | "live";
export type FeedState = "waiting" | "running" | "paused" | "stale" | "halted";

export interface Status {
  feed: string;
  mode: Mode;
  state: FeedState;
  speed: number;
  symbol: string | null; // not null: only trading in this symbol stopped or goes on
  last_tick_ts: number | null;
  halted: string[];
  model: string | null;
  scenario: string | null;
  notice: string | null;
  command: string | null; // what somebody just told the feed, such as "STEP=3"
}

export interface Welcome {
  client_id: string;
  head: string;
  mode: Mode;
  heartbeat: number; // seconds
  delay: number; // seconds
  subscription: Record<string, unknown>;
  resume: { asked: string; from: string; complete: boolean; reason: string | null } | null;
}

export interface Gap {
  from: string;
  to: string;
  reason: "expired" | "epoch" | "unreadable";
}

export interface Bye {
  reason: "drain" | "lifetime" | "expired" | "evicted" | "limit";
  reconnect_in_ms: number;
}

/** RFC 9457, with what this server adds. */
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

/** Who one is and what one may: `GET /v1/whoami`. */
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

/** The feed as `GET /v1/simulator` has it. What comes from outside has no speed and no time. */
export interface Simulator {
  feed: string;
  mode: Mode;
  state: FeedState;
  speed?: number;
  time?: number | null; // the market's
  behind?: number; // seconds
  halted?: string[];
  commands: Command[];
  model: { version: string; swaps: number; rejected: number; unreachable: number } | null;
  scenario: string | null;
  notice: string | null;
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

/** What a sample of `GET /v1/operations` has: flows a second, latencies and loop delay in ms. */
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
  journal: { kind: string; events: number; bytes: number; expired: number };
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
