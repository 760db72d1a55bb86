import type { RawEvent } from "../events.ts";
import { isAtOrBefore } from "../position.ts";
import { SymbolMatcher } from "../symbols.ts";
import type { StreamError } from "../transports/transport.ts";
import type { Credentials, ToClient, Wish } from "./messages.ts";
import { restrictMatches, symbolOfEvent } from "./stateCache.ts";

export interface MemberLink {
  send: (message: ToClient) => void;
  credentials: () => Promise<Credentials>;
}

/** A client that shares the stream of a group. */
export class Member {
  matcher: SymbolMatcher;
  /** Whether the client knows that the stream is open. */
  welcomed = false;
  /** The reason why the server refuses the symbols of this client. */
  refusal: StreamError | null = null;
  /**
   * Whether the server refused a request with the symbols of several clients, and the group has not yet requested the
   * symbols of this client alone.
   */
  waiting = false;
  /** Events up to this id are repetitions for the client; "" if there are none. */
  skipUntil: string;

  constructor(
    readonly subscription: string,
    public wish: Wish,
    /** The client has received all events up to this id. */
    public position: string,
    readonly link: MemberLink,
  ) {
    this.matcher = new SymbolMatcher(wish.symbols);
    this.skipUntil = position;
  }

  change(wish: Wish): void {
    this.wish = wish;
    this.matcher = new SymbolMatcher(wish.symbols);
    this.refusal = null;
    this.waiting = false;
  }

  /** Send the events that concern this client. `position` is the position of the stream. */
  receive(events: RawEvent[], position: string): void {
    this.deliver(
      events
        // An `enter` without an id belongs to the quote that follows it.
        .map((event, index) => this.restrict(event, event[2] || (event[0] === "enter" && events[index + 1]?.[2]) || ""))
        .filter((event) => event !== null),
      position,
    );
  }

  deliver(events: RawEvent[], position: string): void {
    // While the stream repeats events for another client, this client stays where it is.
    const moved = position !== "" && !isAtOrBefore(position, this.position);
    if (moved) this.position = position;
    if (!moved && events.length === 0) return;
    if (events.some(([name]) => name === "welcome")) this.welcomed = true;
    this.link.send({ type: "events", subscription: this.subscription, events, position: this.position });
  }

  /** Return an event as this client may see it; null if it must not receive the event. */
  private restrict(event: RawEvent, id: string): RawEvent | null {
    const [name, text] = event;
    if (name === "welcome") return this.welcomed ? null : event;
    if (this.skipUntil !== "") {
      if (isAtOrBefore(id, this.skipUntil)) return null;
      if (name === "gap" && isAtOrBefore((JSON.parse(text) as { to: string }).to, this.skipUntil)) return null;
      // Ids do not decrease, so no repetition follows.
      if (id !== "") this.skipUntil = "";
    }
    if (this.wish.symbols.includes("*")) return event;
    if (name === "matches") return restrictMatches(event, this.matcher);
    const symbol = symbolOfEvent(event);
    return symbol === null || this.matcher.has(symbol) ? event : null;
  }
}
