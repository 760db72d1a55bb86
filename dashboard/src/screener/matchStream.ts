import { signal } from "@preact/signals";
import type { Move } from "@tickwire/client";
import type { Quote, Welcome } from "../api/types";
import { type ConnectionState, EventStream } from "../live/eventStream";
import { PaintQueue } from "../live/paintQueue";

type EntryContent =
  | { kind: "enter" | "leave"; symbol: string; quote: Quote | null }
  | { kind: "matches"; count: number }
  | { kind: Interruption };

/** A symbol that entered or left the screen, a snapshot of all matches, or an interruption of the stream. */
export type ScreenLogEntry = EntryContent & { at: number; id: number }; // ms since 1970

/** Changes between the start of an interruption and `restored` are not in the log. */
export type Interruption = "lost" | "suspended" | "restored";

/** The interval of the stream, and of changes of the table, because faster changes cannot be read. */
const REFRESH_MS = 250;
/** Rows are sorted again after this many ticks, even if no symbol entered or left. */
const REORDER_TICKS = 4;
const MAX_LOG_ENTRIES = 100;
/** A symbol is marked as just entered or left for this long. */
const HIGHLIGHT_MS = 3_000;

let lastEntryId = 0;

/**
 * The symbols that match a filter, and their quotes.
 *
 * It has its own stream, because the page's stream lacks some fields of a quote. The data are plain objects instead of
 * signals, because thousands of symbols may enter and leave in a second. `revision` changes when a render is due.
 */
export class MatchStream {
  symbols: Set<string> | null = null; // null until the first snapshot
  /** The symbols that entered or left recently, and the time in ms until which they are marked. */
  readonly recentlyEntered = new Map<string, number>();
  readonly recentlyLeft = new Map<string, number>();
  readonly quotes = new Map<string, Quote>();
  readonly paintQueue = new PaintQueue();
  readonly revision = signal(0);
  readonly connection = signal<ConnectionState>("connecting");
  readonly detail = signal("");
  /** Whether the token excludes screen events. */
  readonly screensForbidden = signal(false);
  log: ScreenLogEntry[] = []; // newest first
  private interrupted = false;
  private changed = true;
  private ticks = 0;
  private readonly stream: EventStream;
  private readonly timer = window.setInterval(() => this.tick(), REFRESH_MS);

  constructor(
    filter: string,
    private readonly onEnter: (symbol: string) => void,
  ) {
    const events = { welcome: this.welcome, matches: this.replace, enter: this.enter, leave: this.leave };
    const quote = (data: Quote): void => this.storeQuote(data);
    const options = { filter, events: ["quote", "screen"], interval: `${REFRESH_MS}ms` };
    this.stream = new EventStream(options, { quote, events, state: this.onState });
  }

  close(): void {
    this.stream.close();
    window.clearInterval(this.timer);
  }

  /** Keep the stream open while the tab is hidden, for notifications. */
  keepWhileHidden(on: boolean): void {
    this.stream.keepWhileHidden = on;
  }

  clearLog(): void {
    this.log = [];
    this.revision.value += 1;
  }

  private tick(): void {
    const now = performance.now();
    for (const marked of [this.recentlyEntered, this.recentlyLeft]) {
      for (const [symbol, until] of marked) {
        // The map is ordered by time.
        if (until > now) break;
        marked.delete(symbol);
        this.changed = true;
      }
    }
    this.ticks += 1;
    if (!this.changed && this.ticks % REORDER_TICKS !== 0) return;
    this.changed = false;
    this.revision.value += 1;
  }

  private readonly onState = (state: ConnectionState, detail: string): void => {
    const previous = this.connection.value;
    this.connection.value = state;
    this.detail.value = detail;
    if (previous !== "open" || state === "open") return;
    this.interrupted = true;
    this.addToLog({ kind: state === "suspended" ? "suspended" : "lost" });
  };

  private readonly welcome = (data: Welcome): void => {
    const { events } = data.subscription as { events: string[] };
    this.screensForbidden.value = !events.includes("screen");
    if (this.interrupted) this.addToLog({ kind: "restored" });
    this.interrupted = false;
  };

  private storeQuote(quote: Quote): void {
    this.quotes.set(quote.symbol, quote);
    this.paintQueue.mark(quote.symbol);
  }

  private readonly replace = ({ symbols }: { symbols: string[] }): void => {
    const previous = this.symbols;
    this.symbols = new Set(symbols);
    const unchanged = previous?.size === symbols.length && symbols.every((symbol) => previous.has(symbol));
    if (unchanged) return;
    this.recentlyLeft.clear();
    this.addToLog({ kind: "matches", count: symbols.length });
    // These symbols entered during an interruption, whose `enter` events are lost.
    if (previous) for (const symbol of symbols) if (!previous.has(symbol)) this.onEnter(symbol);
  };

  private readonly enter = ({ symbol, quote }: Move): void => {
    this.storeQuote(quote);
    this.recordMove({ kind: "enter", symbol, quote }, this.recentlyEntered, this.recentlyLeft);
    this.symbols?.add(symbol);
    this.onEnter(symbol);
  };

  private readonly leave = ({ symbol, quote: newest }: Move): void => {
    // If the token has a filter, the quote contains only the symbol. The row then keeps its last quote.
    const quote = newest.last === undefined ? null : newest;
    if (quote) this.storeQuote(quote);
    this.recordMove({ kind: "leave", symbol, quote }, this.recentlyLeft, this.recentlyEntered);
    this.symbols?.delete(symbol);
  };

  private recordMove(
    entry: { kind: "enter" | "leave"; symbol: string; quote: Quote | null },
    to: Map<string, number>,
    from: Map<string, number>,
  ): void {
    const { symbol } = entry;
    from.delete(symbol);
    // Deleting first moves the symbol to the end, which keeps the map ordered by time.
    to.delete(symbol);
    to.set(symbol, performance.now() + HIGHLIGHT_MS);
    this.addToLog(entry);
  }

  private addToLog(content: EntryContent): void {
    this.changed = true;
    this.log.unshift({ ...content, at: Date.now(), id: ++lastEntryId });
    if (this.log.length > MAX_LOG_ENTRIES) this.log.pop();
  }
}
