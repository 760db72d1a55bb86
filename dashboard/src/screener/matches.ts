import { signal } from "@preact/signals";
import type { Quote, Welcome } from "../api/types";
import { Frames } from "../live/frames";
import { type Connection, Source } from "../live/source";

/** Who came into a screen or went out of it, and when (ms); that the whole set came anew; or that nothing was heard. */
export type Move =
  | { what: "enter" | "leave"; symbol: string; quote: Quote; at: number; id: number }
  | { what: "matches"; count: number; at: number; id: number }
  | { what: Break; at: number; id: number };

/** What became of the stream. */
export type Break = "lost" | "resting" | "back";

const BEAT = 250; // ms: the pace of the stream and of what is shown; what changes more often cannot be read
const REORDER = 4; // beats after which rows are put in order even if nobody came or went
const KEPT = 100; // moves in the log
const LINGER = 3_000; // ms that a symbol is shown as one that just came or went

let moves = 0;

/**
 * The symbols that match a filter and their quotes, by a stream of its own: the page's has not all fields of a quote.
 *
 * What is here is plain data, since thousands may come and go in a second; `beat` grows when it is time to look at it.
 */
export class Matches {
  symbols: Set<string> | null = null; // null until the stream has told
  readonly entered = new Map<string, number>(); // a moment ago, and until when (ms) that is shown
  readonly left = new Map<string, number>(); // likewise
  readonly quotes = new Map<string, Quote>();
  readonly frames = new Frames();
  readonly beat = signal(0);
  readonly connection = signal<Connection>("connecting");
  readonly detail = signal("");
  readonly deaf = signal(false); // this token may not see who comes and goes
  log: Move[] = []; // newest first
  private broken = false;
  private changed = true;
  private beats = 0;
  private readonly source: Source;
  private readonly timer = window.setInterval(() => this.look(), BEAT);

  constructor(
    filter: string,
    private readonly told: (symbol: string) => void,
  ) {
    const events = { welcome: this.welcome, matches: this.replace, enter: this.enter, leave: this.leave };
    const quote = (data: string): void => this.put(JSON.parse(data) as Quote);
    const query = { filter, events: "quote,screen", interval: `${BEAT}ms` };
    this.source = new Source(query, { quote, events, state: this.onState });
  }

  close(): void {
    this.source.close();
    window.clearInterval(this.timer);
  }

  /** Whether the stream goes on while the tab is hidden: for who wants to be told. */
  keep(on: boolean): void {
    this.source.keep = on;
  }

  clearLog(): void {
    this.log = [];
    this.beat.value += 1;
  }

  private look(): void {
    const now = performance.now();
    for (const shown of [this.entered, this.left]) {
      for (const [symbol, until] of shown) {
        if (until > now) break; // the first ones end first
        shown.delete(symbol);
        this.changed = true;
      }
    }
    this.beats += 1;
    if (!this.changed && this.beats % REORDER !== 0) return;
    this.changed = false;
    this.beat.value += 1;
  }

  private readonly onState = (state: Connection, detail: string): void => {
    const was = this.connection.value;
    this.connection.value = state;
    this.detail.value = detail;
    if (was !== "open" || state === "open") return;
    this.broken = true;
    this.note({ what: state === "resting" ? "resting" : "lost", at: Date.now(), id: ++moves });
  };

  private readonly welcome = (data: string): void => {
    const { events } = (JSON.parse(data) as Welcome).subscription as { events: string[] };
    this.deaf.value = !events.includes("screen");
    if (this.broken) this.note({ what: "back", at: Date.now(), id: ++moves });
    this.broken = false;
  };

  private put(quote: Quote): void {
    this.quotes.set(quote.symbol, quote);
    this.frames.mark(quote.symbol);
  }

  private readonly replace = (data: string): void => {
    const { symbols } = JSON.parse(data) as { symbols: string[] };
    const before = this.symbols;
    this.symbols = new Set(symbols);
    if (before?.size === symbols.length && symbols.every((symbol) => before.has(symbol))) return; // as it was
    this.left.clear();
    this.note({ what: "matches", count: symbols.length, at: Date.now(), id: ++moves });
  };

  private readonly enter = (data: string): void => {
    const { symbol } = this.move("enter", data, this.entered, this.left);
    this.symbols?.add(symbol);
    this.told(symbol);
  };

  private readonly leave = (data: string): void => {
    const { symbol } = this.move("leave", data, this.left, this.entered);
    this.symbols?.delete(symbol);
  };

  private move(what: "enter" | "leave", data: string, to: Map<string, number>, from: Map<string, number>): Quote {
    const { symbol, quote } = JSON.parse(data) as { symbol: string; quote: Quote };
    this.put(quote);
    from.delete(symbol);
    to.delete(symbol); // so that it is put at the end
    to.set(symbol, performance.now() + LINGER);
    this.note({ what, symbol, quote, at: Date.now(), id: ++moves });
    return quote;
  }

  private note(move: Move): void {
    this.changed = true;
    this.log.unshift(move);
    if (this.log.length > KEPT) this.log.pop();
  }
}
