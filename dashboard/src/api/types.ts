// The JSON of the server, as docs/protocol.md defines it. Times are microseconds since 1970.

import type { Quote, Status } from "@tickwire/client";
import type { History, Simulator } from "./restTypes";

export type { Bye, Candle, Gap, Quote, Status, Welcome } from "@tickwire/client";
export type {
  Client,
  ClusterState,
  FilterCheckResult,
  Instrument,
  MarketModel,
  Operations,
  ProcessDescription,
  Recording,
  Simulator,
  SymbolExplanation,
  Whoami,
} from "./restTypes";

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

export type Command = Simulator["commands"][number];

/** The series of `GET /v1/operations`. */
export type Series = Exclude<keyof History, "seconds">;
export type Samples = Pick<History, Series>;
