import { computed, effect, signal, untracked } from "@preact/signals";
import type { Expiring, StreamEvent } from "@tickwire/client";
import { request } from "../api/http";
import { loadRights, rights } from "../api/rights";
import { signInReason } from "../api/session";
import {
  BOARD_FIELDS,
  type BoardQuote,
  type Bye,
  type Gap,
  type Instrument,
  type Mode,
  type Status,
  type Welcome,
} from "../api/types";
import { withPlainTexts } from "../format/texts";
import { logEvent } from "./connectionLog";
import { type ConnectionState, EventStream } from "./eventStream";
import { FreshnessMonitor, online } from "./freshness";
import { LatencyHistogram } from "./latencyHistogram";
import { MarketClock } from "./marketClock";
import { Pacer } from "./pacer";
import { PaintQueue } from "./paintQueue";

/** The newest quote of every symbol. It is plain data; `paintQueue` reports changes. */
export const quotes = new Map<string, BoardQuote>();
export const paintQueue = new PaintQueue();

export const connection = signal<ConnectionState>("connecting");
export const connectionDetail = signal("");
export const welcome = signal<Welcome | null>(null);
export const status = signal<Status | null>(null);
export const haltedSymbols = signal<ReadonlySet<string>>(new Set());
export const instruments = signal<ReadonlyMap<string, Instrument>>(new Map());
export const symbolCount = signal(0);
export const reconnects = signal(0);
/** The time in ms since 1970 at which the connection entered its current state. */
export const stateSince = signal(Date.now());

/** The totals since the page opened. */
export const received = { quotes: 0, characters: 0 };
export const marketClock = new MarketClock();
/** The time from a price's `ts` to the frame that shows it. */
export const latency = new LatencyHistogram();

export const mode = computed<Mode | null>(() => status.value?.mode ?? welcome.value?.mode ?? null);

/** The client id of the stream that this page shares with the other tabs; "" before the stream is open. */
export const clientId = computed(() => welcome.value?.client_id ?? "");

const monitor = new FreshnessMonitor({
  clientId: () => clientId.peek(),
  heartbeat: () => (connection.peek() === "open" && welcome.peek() ? (welcome.peek()?.heartbeat ?? 0) * 1000 : null),
  marketRuns: () => status.peek()?.state === "running",
  interval: () => Math.max(Number(welcome.peek()?.subscription.interval ?? 0), pacer.interval.peek()),
  onLost: reconnect,
});
const pacer = new Pacer({
  flows: () => connection.peek() === "open" && status.peek()?.state === "running",
  delay: () => monitor.delay.at(performance.now()),
  slowFrames: () => paintQueue.readSlowFrames(),
  setInterval: (ms) => stream?.setInterval(ms),
});
/** The shortest time between two updates of a symbol that the page asks for, in ms. */
export const updateInterval = pacer.interval;
/** The silence or the delay of the page's stream; null while prices are current. */
export const trouble = monitor.trouble;

/** The reason why the prices on the screen may be old; null while they are current. All views show it alike. */
export const stale = computed(() => {
  if (connection.value !== "open") return online.value ? ("connection" as const) : ("offline" as const);
  if (trouble.value) return trouble.value.kind;
  const state = status.value?.state;
  // An operator stopped the feed. This is not a halt of trading.
  if (state === "halted") return "stopped" as const;
  return state === "stale" ? state : null;
});

/** Whether the server answers, as far as the page knows. */
export const reachable = computed(
  () => stale.value === null || !["connection", "offline", "silent"].includes(stale.value),
);

/** Whether the token excludes quotes, so that no price can arrive. */
export const quotesForbidden = computed(() => {
  const events = welcome.value?.subscription.events;
  return Array.isArray(events) && !events.includes("quote");
});

/** The time in ms since 1970 at which the token expires, once the server has warned of it. */
export const tokenExpiry = signal<number | null>(null);

/** Whether prices arrive as soon as the feed creates them. Only in this case is a silent symbol suspicious. */
export const pricesFlowing = computed(() => connection.value === "open" && status.value?.state === "running");

/**
 * A price that seems older than this has another clock, such as the time in a recording that a publisher replays. Its
 * latency is not measured.
 */
const MAX_LATENCY_MS = 3_600_000;

let stream: EventStream | null = null;

addEventListener("online", () => {
  if (connection.value === "retrying") reconnect();
});

/** The time in ms of the last welcome. Older prices come from the catch-up and are not measured. */
let connectedAt = 0;

paintQueue.subscribe((changed) => {
  // Every new count sorts a board of thousands of rows, so the signal changes at most once per frame.
  symbolCount.value = quotes.size;
  const now = performance.now();
  const delay = (welcome.value?.delay ?? 0) * 1000;
  let youngest = Infinity;
  for (const symbol of changed) {
    const age = marketClock.ageOf(quotes.get(symbol)?.ts ?? 0, now);
    if (age === null || age >= now - connectedAt || age >= MAX_LATENCY_MS) continue;
    latency.add(age - delay, now);
    youngest = Math.min(youngest, age);
  }
  if (youngest < Infinity) monitor.delay.add(youngest, now);
});

export const lastEventId = (): string => stream?.lastId ?? "";
export function reconnect(): void {
  stream?.reconnect();
}

/** Open the stream of the page. A new sign-in starts it again, because another token may show another market. */
export function startStream(): void {
  stopStream();
  pacer.restart();
  stream = new EventStream(
    { events: ["quote", "status"], fields: BOARD_FIELDS },
    {
      quote: onQuote,
      state: onState,
      events: { welcome: onWelcome, status: onStatus, gap: onGap, bye: onBye, expiring: onExpiring },
    },
  );
  void loadInstruments();
}

function stopStream(): void {
  stream?.close();
  marketClock.stop();
  quotes.clear();
  symbolCount.value = 0;
  welcome.value = status.value = null;
  haltedSymbols.value = new Set();
  tokenExpiry.value = null;
}

effect(() => {
  if (signInReason.value === null) return;
  untracked(() => {
    stopStream();
    onState("signed-out", "");
  });
});

function onQuote(quote: BoardQuote, { text }: StreamEvent): void {
  received.quotes += 1;
  received.characters += text.length;
  const now = performance.now();
  monitor.recordEvent(now);
  marketClock.observe(quote.ts, now);
  quotes.set(quote.symbol, quote);
  paintQueue.mark(quote.symbol);
}

function onState(state: ConnectionState, detail: string): void {
  connectionDetail.value = detail;
  if (state === connection.value) return;
  connection.value = state;
  stateSince.value = Date.now();
  if (state !== "open") marketClock.stop();
  logEvent(state, detail);
}

function onWelcome(data: Welcome): void {
  const first = welcome.value === null;
  welcome.value = data;
  if (!first) {
    reconnects.value += 1;
    // A restarted server may have other instruments.
    void loadInstruments();
  }
  void loadUser();
  connectedAt = performance.now();
  monitor.restart(connectedAt);
  marketClock.restart();
  logEvent("welcome", data.head);
}

function onStatus(data: Status): void {
  const update = withPlainTexts(data);
  monitor.recordEvent(performance.now());
  // The first status may repeat a command from long ago.
  const command = (status.value && update.command) ?? "";
  haltedSymbols.value = new Set(update.halted);
  if (update.symbol === null) {
    if (update.state !== status.value?.state || update.speed !== status.value.speed) {
      marketClock.restart();
      monitor.restart(performance.now());
    }
    status.value = update;
  }
  logEvent("status", update.symbol === null ? update.state : `${update.symbol} ${update.state}`, command);
}

function onGap({ from, to, reason }: Gap): void {
  // The quotes belong to the history of another epoch. The quotes of the new epoch follow.
  if (reason === "epoch") quotes.clear();
  logEvent("gap", `${from} … ${to} (${reason})`);
}

function onBye({ reason }: Bye): void {
  logEvent("bye", reason);
}

function onExpiring({ in_ms }: Expiring): void {
  tokenExpiry.value = Date.now() + in_ms;
  logEvent("expiring", `${Math.round(in_ms / 1000)} s`);
}

/** Load the user and the rights, which the alerts and the lists of the user need. */
async function loadUser(): Promise<void> {
  await loadRights();
  if (rights.value === null && signInReason.value === null) setTimeout(() => void loadUser(), 5_000);
}

async function loadInstruments(): Promise<void> {
  try {
    const all = await request<Instrument[]>("v1/instruments");
    instruments.value = new Map(all.map((each) => [each.symbol, { ...withPlainTexts(each), symbol: each.symbol }]));
  } catch {
    // Names and sectors are not urgent.
    if (signInReason.value === null) setTimeout(() => void loadInstruments(), 5_000);
  }
}
