import type { Matches, RawEvent } from "../events.ts";
import { type SymbolMatcher, symbolOf } from "../symbols.ts";

/** The events about one symbol. Messages may have a key `symbol` too, but concern everybody. */
const SYMBOL_EVENTS = new Set(["quote", "candle", "enter", "leave", "status", "correction"]);

/** Return the symbol that an event is about, or null if the event concerns all symbols. */
export const symbolOfEvent = ([name, text]: RawEvent): string | null =>
  SYMBOL_EVENTS.has(name) ? symbolOf(text) : null;

/** Return the event `matches` with only those symbols that `matcher` has. */
export function restrictMatches([name, text, id]: RawEvent, matcher: SymbolMatcher): RawEvent {
  const matches = JSON.parse(text) as Matches;
  return [name, JSON.stringify({ ...matches, symbols: matches.symbols.filter((each) => matcher.has(each)) }), id];
}

const keyOf = ([name, text]: RawEvent): string => `${name} ${symbolOf(text) ?? ""}`;

/**
 * The newest event of every state: quotes, open candles, statuses, and the symbols that match.
 *
 * A client that joins a running stream receives its snapshot from here. The cache holds one event per symbol and kind.
 */
export class StateCache {
  readonly #newest = new Map<string, RawEvent>();
  #matches: { filter: string | null; symbols: Set<string> } | null = null;

  add(event: RawEvent): void {
    const [name, text] = event;
    if (name === "matches") {
      const { filter, symbols } = JSON.parse(text) as Matches;
      this.#matches = { filter, symbols: new Set(symbols) };
    } else if (name === "enter" || name === "leave") {
      const symbol = symbolOf(text) ?? "";
      if (name === "enter") this.#matches?.symbols.add(symbol);
      else this.#matches?.symbols.delete(symbol);
    } else if (name === "quote" || name === "candle" || name === "status") {
      const key = keyOf(event);
      // A changed event moves to the end, so that a snapshot contains the events in the order of their changes.
      this.#newest.delete(key);
      this.#newest.set(key, event);
    }
  }

  /** Add the state of a client that joins, except where a newer event is known. */
  addMissing(events: RawEvent[]): void {
    for (const event of events) {
      if (event[0] === "matches" ? this.#matches === null : !this.#newest.has(keyOf(event))) this.add(event);
    }
  }

  /** Return the events of a snapshot of these symbols. */
  snapshot(matcher: SymbolMatcher): RawEvent[] {
    const events = [...this.#newest.values()].filter((event) => {
      const symbol = symbolOfEvent(event);
      return symbol === null || matcher.has(symbol);
    });
    if (this.#matches === null) return events;
    const { filter, symbols } = this.#matches;
    const matching = [...symbols].filter((symbol) => matcher.has(symbol));
    return [["matches", JSON.stringify({ filter, symbols: matching }), ""], ...events];
  }

  /** Forget the symbols that the stream does not contain any more. */
  retain(matcher: SymbolMatcher): void {
    for (const [key, event] of this.#newest) {
      const symbol = symbolOfEvent(event);
      if (symbol !== null && !matcher.has(symbol)) this.#newest.delete(key);
    }
  }

  clear(): void {
    this.#newest.clear();
    this.#matches = null;
  }
}
