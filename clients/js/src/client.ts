import type { BackoffOptions } from "./backoff.ts";
import { type CredentialSource, findCredentials, findUser, type TokenSource } from "./credentials.ts";
import type { Gap, Quote, RawEvent, Subscription, Welcome } from "./events.ts";
import { type FrameHandler, FrameQueue } from "./frameQueue.ts";
import { toMilliseconds } from "./interval.ts";
import { callSafely, type EventData, EventRouter, type Handler } from "./router.ts";
import { type HostLink, linkToHost, type Sharing } from "./sharing/hostLink.ts";
import type { SharedState, StreamSpec, ToClient, Wish } from "./sharing/messages.ts";
import { StateCache } from "./sharing/stateCache.ts";
import type { StreamState } from "./stream.ts";
import { SymbolMatcher } from "./symbols.ts";
import { type StreamError, toStreamError } from "./transports/transport.ts";
import { type Visibility, VisibilityMonitor } from "./visibility.ts";
import type { WatchdogTimeout } from "./watchdog.ts";

export interface ClientOptions {
  /** The URL of the server. The default is the URL of the page. */
  server?: string;
  /** Symbols and patterns, such as `["AAPL", "BTC-*"]`. The default is all symbols. */
  symbols?: readonly string[];
  filter?: string;
  /** Only the first `top` symbols in this order, such as "change_rate desc". */
  order?: string;
  /** The number of symbols for `order`, from 1 to 100. */
  top?: number;
  /** The kinds of events. The default is `["quote"]`; a filter or an order adds `screen`, and `candles` adds `candle`. */
  events?: readonly string[];
  candles?: "1s" | "5s" | "15s" | "1m" | "5m" | "15m" | "1h" | "1d";
  /** The fields of a quote. The default is all fields. */
  fields?: readonly (keyof Quote)[];
  /** The shortest time between two updates of a symbol, such as "250ms". */
  interval?: string;
  delivery?: "latest" | "all";
  /** The form of the server's heartbeats. With "event", `on("heartbeat")` receives them. The default is "comment". */
  heartbeats?: "comment" | "event";
  /** Begin with past events: "earliest", an event id, or a time. */
  since?: string;
  /** A token, or a function that returns a valid token. */
  token?: TokenSource;
  /** A function that returns a ticket, for pages that hold no token. */
  ticket?: () => string | Promise<string>;
  /** The name of the user, if `token` or `ticket` is a function or a cookie. Pages with different users share no stream. */
  user?: string;
  /** Whether the browser sends its cookies to a server of another origin. */
  withCredentials?: boolean;
  /** Whether all pages of the origin share their streams. The default is true. */
  share?: boolean;
  transport?: "fetch" | "eventsource";
  backoff?: Partial<BackoffOptions>;
  /** The time without data after which a connection counts as lost. The default is "dynamic". */
  watchdog?: WatchdogTimeout;
  /** The interval while the page is hidden. The default is "1s"; null keeps the interval. */
  hiddenInterval?: string | null;
  /** A page that is hidden for longer than this closes its stream until it is visible. The default is null: never. */
  pauseAfterMs?: number | null;
  /** The client id on the server is this name and a random number. */
  clientName?: string;
}

/** `paused`: the page is hidden, and has no stream until it is visible. */
export type ClientState = StreamState | "paused";

export interface ClientStatus {
  state: ClientState;
  /** The time from the newest request to its answer, in ms; null before the first answer. */
  latencyMs: number | null;
  /** The time since the last event of this client, in ms; null before the first event. */
  dataAgeMs: number | null;
  /** The reason why the stream is not open; null if there is none. */
  error: StreamError | null;
  /** The newest error, also after the stream is open again. */
  lastError: StreamError | null;
  /** The client has received all events up to this id. */
  position: string;
  /** The id of the stream on the server. Clients that share a stream have one id. */
  clientId: string;
  /** The number of open streams of this page and of all pages that share streams with this page. */
  connections: number;
  sharing: Sharing;
}

export type StateHandler = (status: ClientStatus) => void;

const DEFAULT_BACKOFF: BackoffOptions = { minMs: 500, maxMs: 15_000 };
let clients = 0;

/**
 * A subscription to live prices and events of a Tickwire server.
 *
 * It connects at once, reconnects after every loss, and continues after the last event. Register handlers right after the
 * constructor: no event is dispatched before the current task ends.
 */
export class TickwireClient {
  private readonly id = `${++clients}`;
  private readonly router = new EventRouter();
  private readonly frames = new FrameQueue();
  private readonly stateHandlers = new Set<StateHandler>();
  private readonly source: CredentialSource;
  private readonly spec: StreamSpec;
  private readonly link: HostLink;
  private readonly visibility: VisibilityMonitor;
  private readonly hiddenInterval: number | null;
  private readonly cache = new StateCache();
  private interval: number;
  private symbols: Set<string>;
  private position = "";
  /** The symbols whose state at `position` the client has received. */
  private known: string[] = [];
  private lastEventAt: number | null = null;
  private closed = false;
  private started = false;
  private paused = false;
  /** Whether the host has lost the subscription of a closed client. */
  private detached = false;
  private shared: SharedState = { state: "connecting", error: null, clientId: "", roundTripMs: null, connections: 0 };
  private lastError: StreamError | null = null;

  constructor(options: ClientOptions = {}) {
    const server = absoluteServer(options.server);
    const { transport = "fetch", token = null, ticket = null } = options;
    this.source = { server, transport, token, ticket };
    this.symbols = new Set(options.symbols ?? ["*"]);
    this.interval = toMilliseconds(options.interval ?? "0");
    const hidden = options.delivery === "all" ? null : options.hiddenInterval;
    this.hiddenInterval = hidden === null ? null : toMilliseconds(hidden ?? "1s");
    this.spec = specOf(options, this.source);
    this.link = linkToHost(options.share ?? true);
    this.visibility = new VisibilityMonitor(options.pauseAfterMs ?? null, (visibility) =>
      this.onVisibility(visibility),
    );
    this.link.add(this.id, { receive: (message) => this.receive(message), subscribeAgain: () => this.subscribe() });
    // The caller first registers handlers.
    queueMicrotask(() => void this.start(options.user));
  }

  /** Call `handler` for every event with this name. Quotes have the name "quote". */
  on<Name extends string>(name: Name, handler: Handler<EventData<Name>>): this {
    this.router.add(name, handler);
    this.announceWish();
    return this;
  }

  /** Call `handler` once, for the next event with this name. */
  once<Name extends string>(name: Name, handler: Handler<EventData<Name>>): this {
    const single: Handler<EventData<Name>> = (data, event) => {
      this.off(name, single);
      handler(data, event);
    };
    return this.on(name, single);
  }

  off<Name extends string>(name: Name, handler: Handler<EventData<Name>>): this {
    this.router.remove(name, handler);
    return this;
  }

  /** Call `handler` for every event without a handler of its own; null removes it. */
  onDefault(handler: Handler<unknown> | null): this {
    this.router.setDefault(handler);
    return this;
  }

  /**
   * Call `handler` once per animation frame with the newest quotes of the symbols that changed. Return a function that
   * removes the handler.
   */
  onFrame(handler: FrameHandler): () => void {
    this.frames.add(handler);
    return () => this.frames.remove(handler);
  }

  /** Call `handler` with every change of the state. Return a function that removes the handler. */
  onState(handler: StateHandler): () => void {
    this.stateHandlers.add(handler);
    return () => this.stateHandlers.delete(handler);
  }

  /** Add symbols and patterns to the running stream. */
  add(...symbols: string[]): void {
    for (const symbol of symbols) this.symbols.add(symbol);
    this.announceWish();
  }

  /** Remove symbols and patterns from the running stream. At least one symbol must remain. */
  remove(...symbols: string[]): void {
    const left = [...this.symbols].filter((symbol) => !symbols.includes(symbol));
    if (left.length === 0) throw new RangeError("the list of symbols would be empty: call close() to end the stream");
    this.symbols = new Set(left);
    this.cache.retain(new SymbolMatcher([...left, ...this.known]));
    this.announceWish();
  }

  status(): ClientStatus {
    const { state, clientId, roundTripMs, connections } = this.shared;
    return {
      state: this.closed ? "closed" : this.paused ? "paused" : state,
      latencyMs: roundTripMs,
      dataAgeMs: this.lastEventAt === null ? null : performance.now() - this.lastEventAt,
      error: this.shared.error,
      lastError: this.lastError,
      position: this.position,
      clientId,
      connections,
      sharing: this.link.sharing,
    };
  }

  /** Reconnect at once, and reset the backoff. Other pages that share the stream reconnect too. */
  reconnect(): void {
    if (!this.isActive) return;
    if (this.detached) {
      this.detached = false;
      this.shared = { ...this.shared, state: "connecting" };
      this.subscribe();
    } else this.link.post({ type: "reconnect", subscription: this.id });
  }

  /** Change the shortest time between two updates of a symbol. A shared stream has the shortest interval of its clients. */
  setInterval(interval: string): void {
    this.interval = toMilliseconds(interval);
    this.announceWish();
  }

  /** Pause a page that is hidden for longer than this; null never pauses it. */
  setPauseAfter(ms: number | null): void {
    this.visibility.setPause(ms);
  }

  /** End the subscription for good. */
  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.visibility.stop();
    this.frames.stop();
    this.link.remove(this.id);
  }

  private get isActive(): boolean {
    return this.started && !this.closed && !this.paused;
  }

  private get wish(): Wish {
    const hidden = this.visibility.current !== "visible";
    const interval = Math.max(this.interval, hidden ? (this.hiddenInterval ?? 0) : 0);
    return { symbols: [...this.symbols], interval, names: this.router.names };
  }

  private async start(user: string | undefined): Promise<void> {
    // A page that keeps its streams to itself needs no user name, which separates the streams of different users.
    if (user === undefined && this.link.sharing !== "page") {
      this.spec.user = await findUser(this.source, this.spec.withCredentials);
    }
    this.started = true;
    this.subscribe();
  }

  private subscribe(): void {
    if (!this.isActive) return;
    if (this.shared.state === "closed") {
      // A closed stream stays closed until somebody calls `reconnect`, even if another page becomes the host.
      this.detached = true;
      return;
    }
    const { id: subscription, spec, wish, known } = this;
    // Without a known state, the client needs a new snapshot.
    const position = known.length > 0 ? this.position : "";
    const state = this.cache.snapshot(new SymbolMatcher(known));
    this.link.post({ type: "subscribe", subscription, spec, wish, position, known, state });
  }

  private announceWish(): void {
    if (this.isActive) this.link.post({ type: "wish", subscription: this.id, wish: this.wish });
  }

  private onVisibility(visibility: Visibility): void {
    const wasPaused = this.paused;
    // A closed stream needs no pause, and must not open when the page returns.
    this.paused = visibility === "paused" && this.shared.state !== "closed";
    if (this.paused) this.link.post({ type: "unsubscribe", subscription: this.id });
    else if (wasPaused) this.subscribe();
    else this.announceWish();
    this.announceState();
  }

  private receive(message: ToClient): void {
    if (message.type === "events") this.receiveEvents(message.events, message.position);
    else if (message.type === "state") this.receiveState(message.state);
    else if (message.type === "credentials") void this.sendCredentials(message.request);
  }

  private receiveEvents(events: RawEvent[], position: string): void {
    if (!this.isActive) return;
    this.position = position;
    if (events.length > 0) this.lastEventAt = performance.now();
    for (const [name, text, id] of events) {
      if (this.closed) return;
      const data: unknown = JSON.parse(text);
      this.store([name, text, id], data);
      if (name === "quote") this.frames.push(data as Quote);
      this.router.dispatch(data, { name, id, text });
    }
  }

  private store(event: RawEvent, data: unknown): void {
    const [name] = event;
    if (name === "welcome") this.confirm((data as Welcome).subscription);
    else if (name === "subscription") this.confirm(data as Subscription);
    else if (name === "gap" && (data as Gap).reason === "epoch") this.cache.clear();
    else this.cache.add(event);
  }

  /** Store which symbols of this client the stream contains. The server replaces a pattern by the allowed symbols. */
  private confirm({ symbols }: Subscription): void {
    const matcher = new SymbolMatcher(symbols);
    this.known = [...this.symbols].filter((symbol) => {
      if (matcher.has(symbol) || symbol === "*") return true;
      const pattern = /[*?]/.test(symbol) ? new SymbolMatcher([symbol]) : null;
      return symbols.some((each) => pattern?.has(each));
    });
    this.cache.retain(new SymbolMatcher(this.known));
  }

  private receiveState(state: SharedState): void {
    if (!this.isActive) return;
    this.shared = state;
    this.lastError = state.error ?? this.lastError;
    this.announceState();
  }

  private announceState(): void {
    const status = this.status();
    for (const handler of this.stateHandlers) callSafely(handler, status);
  }

  private async sendCredentials(request: number): Promise<void> {
    const result = await findCredentials(this.source).catch(toStreamError);
    this.link.post({ type: "credentials", request, result });
  }
}

/**
 * Return the absolute URL of a server, with a slash at the end. Without `server`, return the URL of the page's folder.
 */
export function absoluteServer(server = "."): string {
  const { href } = new URL(server, typeof document === "undefined" ? undefined : document.baseURI);
  return href.endsWith("/") ? href : `${href}/`;
}

function specOf(options: ClientOptions, source: CredentialSource): StreamSpec {
  const lists = { events: options.events?.join(","), fields: options.fields?.join(",") };
  const { filter, order, candles, interval, delivery, heartbeats, since } = options;
  const top = options.top?.toString();
  const query = Object.entries({ filter, order, top, candles, interval, delivery, heartbeats, since, ...lists });
  return {
    server: source.server,
    user: options.user ?? "",
    query: Object.fromEntries(query.filter((entry): entry is [string, string] => entry[1] !== undefined)),
    clientName: options.clientName ?? "js",
    transport: source.transport,
    backoff: { ...DEFAULT_BACKOFF, ...options.backoff },
    watchdog: options.watchdog === undefined ? "dynamic" : options.watchdog,
    withCredentials: options.withCredentials ?? false,
    renewable: typeof source.token === "function" || source.ticket !== null,
  };
}
