import { computed, effect, signal, untracked } from "@preact/signals";
import { ask } from "../api/http";
import { refused } from "../api/session";
import {
  BRIEF,
  type Brief,
  type Bye,
  type Gap,
  type Instrument,
  type Mode,
  type Status,
  type Welcome,
} from "../api/types";
import { Frames } from "./frames";
import { Latency } from "./latency";
import { note } from "./log";
import { type Connection, Source } from "./source";
import { Timepiece } from "./timepiece";
import { Watch } from "./watch";

/** What is known of the market, kept by one stream. Quotes are plain data, told of by `frames`; the rest are signals. */
export const quotes = new Map<string, Brief>();
export const frames = new Frames();

export const connection = signal<Connection>("connecting");
export const connectionDetail = signal("");
export const welcome = signal<Welcome | null>(null);
export const status = signal<Status | null>(null);
export const halted = signal<ReadonlySet<string>>(new Set());
export const instruments = signal<ReadonlyMap<string, Instrument>>(new Map());
export const symbolCount = signal(0);
export const reconnects = signal(0);
export const since = signal(Date.now()); // ms: when the connection came to be as it is

/** What has come in all: events, and their text. */
export const received = { quotes: 0, characters: 0 };
export const timepiece = new Timepiece();
/** From a price's `ts` until it is painted. */
export const latency = new Latency();

export const mode = computed<Mode | null>(() => status.value?.mode ?? welcome.value?.mode ?? null);

/** Why prices on the screen may not be the newest; null while they are. */
export const stale = computed(() => {
  if (connection.value !== "open") return "connection" as const;
  const state = status.value?.state;
  return state === "stale" || state === "halted" ? state : null;
});

/** Whether prices come as they are made: only then does a silent symbol mean something. */
export const moving = computed(() => connection.value === "open" && status.value?.state === "running");

/** The name under which the server knows this page; another after a reload, since two pages may not share one. */
export const clientId = `page-${crypto.getRandomValues(new Uint32Array(2)).join("-")}`;

const LONGEST = 3_600_000; // ms: what is older has a time of its own, such as a recording that somebody publishes

let source: Source | null = null;
const watch = new Watch({
  clientId,
  heartbeat: () => (connection.value === "open" && welcome.value ? welcome.value.heartbeat * 1000 : null),
  lost: reconnect,
});
let live = 0; // ms: prices from before it came late because we did

frames.each((changed) => {
  symbolCount.value = quotes.size; // once a frame: a board of thousands is put in order for each new count
  const now = performance.now();
  const delay = (welcome.value?.delay ?? 0) * 1000;
  for (const symbol of changed) {
    const age = timepiece.since(quotes.get(symbol)?.ts ?? 0, now);
    if (age !== null && age < now - live && age < LONGEST) latency.add(age - delay, now);
  }
});

export const lastId = (): string => source?.lastId ?? "";
export function reconnect(): void {
  source?.reconnect();
}

/** Open the stream; after signing in anew, since another token may show another market. */
export function start(): void {
  stop();
  source = new Source(
    { events: "quote,status", fields: BRIEF.join(","), client_id: clientId },
    {
      quote: onQuote,
      state: onState,
      events: { welcome: onWelcome, status: onStatus, gap: onGap, bye: onBye, expiring: onExpiring },
    },
  );
  void readInstruments();
}

function stop(): void {
  source?.close();
  timepiece.stop();
  quotes.clear();
  symbolCount.value = 0;
  welcome.value = status.value = null;
}

effect(() => {
  if (refused.value === null) return;
  untracked(() => {
    stop();
    onState("refused", "");
  });
});

function onQuote(data: string): void {
  const quote = JSON.parse(data) as Brief;
  received.quotes += 1;
  received.characters += data.length;
  const now = performance.now();
  watch.heard(now);
  timepiece.saw(quote.ts, now);
  quotes.set(quote.symbol, quote);
  frames.mark(quote.symbol);
}

function onState(state: Connection, detail: string): void {
  connectionDetail.value = detail;
  if (state === connection.value) return;
  connection.value = state;
  since.value = Date.now();
  if (state !== "open") timepiece.stop();
  note(state, detail);
}

function onWelcome(data: string): void {
  const first = welcome.value === null;
  watch.heard(performance.now());
  welcome.value = JSON.parse(data) as Welcome;
  if (!first) {
    reconnects.value += 1;
    void readInstruments(); // a server that was restarted may know others
  }
  live = performance.now();
  timepiece.begin();
  note("welcome", welcome.value.head);
}

function onStatus(data: string): void {
  const told = JSON.parse(data) as Status;
  const command = (status.value && told.command) ?? ""; // the first one may be of long ago
  halted.value = new Set(told.halted);
  if (told.symbol === null) {
    if (told.state !== status.value?.state || told.speed !== status.value.speed) timepiece.begin();
    status.value = told;
  }
  note("status", told.symbol === null ? told.state : `${told.symbol} ${told.state}`, command);
}

function onGap(data: string): void {
  const { from, to, reason } = JSON.parse(data) as Gap;
  if (reason === "epoch") quotes.clear(); // another history: what it has follows
  note("gap", `${from} … ${to} (${reason})`);
}

function onBye(data: string): void {
  note("bye", (JSON.parse(data) as Bye).reason);
}

function onExpiring(data: string): void {
  note("expiring", `${Math.round((JSON.parse(data) as { in_ms: number }).in_ms / 1000)} s`);
}

async function readInstruments(): Promise<void> {
  try {
    const all = await ask<Instrument[]>("v1/instruments");
    instruments.value = new Map(all.map((each) => [each.symbol, each]));
  } catch {
    if (refused.value === null) setTimeout(() => void readInstruments(), 5_000); // names and sectors can wait
  }
}
