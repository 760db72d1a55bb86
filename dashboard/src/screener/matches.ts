import { signal } from "@preact/signals";
import type { Quote } from "../api/types";
import { Frames } from "../live/frames";
import { type Connection, Source } from "../live/source";

/** Who came into a screen or went out of it, and when (ms); or that the whole set came anew. */
export type Move =
  | { what: "enter" | "leave"; symbol: string; quote: Quote; at: number; id: number }
  | { what: "matches"; count: number; at: number; id: number };

const KEPT = 300; // moves in the log
const LINGER = 3_000; // ms that a symbol is shown as one that just came or went

let moves = 0;

/** The symbols that match a filter and their quotes, by a stream of its own: the page's has not all fields of a quote. */
export class Matches {
  readonly quotes = new Map<string, Quote>();
  readonly frames = new Frames();
  readonly symbols = signal<ReadonlySet<string> | null>(null); // null until the stream has told
  readonly entered = signal<ReadonlySet<string>>(new Set()); // a moment ago
  readonly left = signal<ReadonlySet<string>>(new Set()); // likewise: shown for a while yet
  readonly log = signal<readonly Move[]>([]);
  readonly connection = signal<Connection>("connecting");
  readonly detail = signal("");
  private readonly source: Source;
  private readonly timers = new Map<string, number>();

  constructor(
    filter: string,
    private readonly told: (symbol: string) => void,
  ) {
    const events = { matches: this.replace, enter: this.enter, leave: this.leave };
    const quote = (data: string): void => this.put(JSON.parse(data) as Quote);
    this.source = new Source({ filter, events: "quote,screen" }, { quote, events, state: this.onState });
  }

  close(): void {
    this.source.close();
    for (const timer of this.timers.values()) window.clearTimeout(timer);
  }

  /** Whether the stream goes on while the tab is hidden: for who wants to be told. */
  keep(on: boolean): void {
    this.source.keep = on;
  }

  clearLog(): void {
    this.log.value = [];
  }

  private readonly onState = (state: Connection, detail: string): void => {
    this.connection.value = state;
    this.detail.value = detail;
  };

  private put(quote: Quote): void {
    this.quotes.set(quote.symbol, quote);
    this.frames.mark(quote.symbol);
  }

  private readonly replace = (data: string): void => {
    const { symbols } = JSON.parse(data) as { symbols: string[] };
    this.symbols.value = new Set(symbols);
    this.left.value = without(this.left.value, symbols);
    this.note({ what: "matches", count: symbols.length, at: Date.now(), id: ++moves });
  };

  private readonly enter = (data: string): void => {
    const { symbol, quote } = JSON.parse(data) as { symbol: string; quote: Quote };
    this.put(quote);
    this.symbols.value = with_(this.symbols.value ?? new Set(), symbol);
    this.left.value = without(this.left.value, [symbol]);
    this.entered.value = with_(this.entered.value, symbol);
    this.later(symbol);
    this.note({ what: "enter", symbol, quote, at: Date.now(), id: ++moves });
    this.told(symbol);
  };

  private readonly leave = (data: string): void => {
    const { symbol, quote } = JSON.parse(data) as { symbol: string; quote: Quote };
    this.put(quote);
    this.symbols.value = without(this.symbols.value ?? new Set(), [symbol]);
    this.entered.value = without(this.entered.value, [symbol]);
    this.left.value = with_(this.left.value, symbol);
    this.later(symbol);
    this.note({ what: "leave", symbol, quote, at: Date.now(), id: ++moves });
  };

  /** A while later it is neither new nor on its way out. */
  private later(symbol: string): void {
    window.clearTimeout(this.timers.get(symbol));
    const timer = window.setTimeout(() => {
      this.timers.delete(symbol);
      this.entered.value = without(this.entered.value, [symbol]);
      this.left.value = without(this.left.value, [symbol]);
    }, LINGER);
    this.timers.set(symbol, timer);
  }

  private note(move: Move): void {
    this.log.value = [move, ...this.log.value.slice(0, KEPT - 1)];
  }
}

const with_ = (set: ReadonlySet<string>, symbol: string): ReadonlySet<string> => new Set(set).add(symbol);

function without(set: ReadonlySet<string>, symbols: Iterable<string>): ReadonlySet<string> {
  const left = new Set(set);
  for (const symbol of symbols) left.delete(symbol);
  return left.size === set.size ? set : left;
}
