import type { Gap, RawEvent, Subscription, Welcome } from "../events.ts";
import { toMilliseconds } from "../interval.ts";
import { isAtOrBefore, sameEpoch } from "../position.ts";
import { isLastingRefusal, Stream, type StreamState } from "../stream.ts";
import { SymbolMatcher, unite } from "../symbols.ts";
import type { StreamError, StreamRequest } from "../transports/transport.ts";
import { Member, type MemberLink } from "./member.ts";
import type { Credentials, StreamSpec, Subscribe, Wish } from "./messages.ts";
import { type Changeable, changeSubscription, equal } from "./patch.ts";
import { StateCache, symbolOfEvent } from "./stateCache.ts";

/** The delay before a failed change of the subscription is tried again. */
const CHANGE_RETRY_MS = 2_000;
/** After so many denials in a row, the group opens a new stream instead of changing the running stream. */
const MAX_DENIALS = 2;

/**
 * One stream and the clients that share it.
 *
 * The stream contains the union of the clients' symbols; each client receives the events of its own symbols. When the union
 * changes, the group changes the subscription of the running stream. The server restores the change after a reconnect.
 */
export class Group {
  readonly #members = new Map<string, Member>();
  readonly #stream: Stream;
  readonly #cache = new StateCache();
  #clientId = "";
  #welcome: Welcome | null = null;
  #error: StreamError | null = null;
  /** The symbols in the URL of the stream. */
  #initialSymbols: string[] = [];
  /** The last subscription that the server accepted; null if it is not known. */
  #requested: Changeable | null = null;
  /** The subscription in the last event of the server, as JSON. */
  #confirmed = "";
  #credentials: Credentials = { headers: {}, query: {} };
  #changing = false;
  #changeTimer: ReturnType<typeof setTimeout> | undefined;
  /** The number of times in a row that the server did not let this group change its stream. */
  #denials = 0;
  /** The position of a stream that the group left to begin a new one; "" if there is none. */
  #leftAt = "";
  readonly #spec: StreamSpec;
  readonly #onConnections: () => void;
  readonly #countConnections: () => number;

  constructor(spec: StreamSpec, onConnections: () => void, countConnections: () => number) {
    this.#spec = spec;
    this.#onConnections = onConnections;
    this.#countConnections = countConnections;
    this.#stream = new Stream(spec, {
      request: (position) => this.#request(position),
      onEvents: (events) => this.#receive(events),
      onState: (state, error) => this.#changeState(state, error),
    });
  }

  get isEmpty(): boolean {
    return this.#members.size === 0;
  }

  get isConnected(): boolean {
    return this.#stream.state === "open" || this.#stream.state === "connecting";
  }

  /** Add a client, and bring it up to date. `key` identifies the client among the clients of all pages. */
  join(key: string, { subscription, wish, position, state, known }: Subscribe, link: MemberLink): void {
    const first = this.isEmpty;
    const member = new Member(subscription, wish, position, link);
    const current = this.#stream.position;
    const comparable = current === "" || sameEpoch(position, current);
    this.#members.set(key, member);
    this.#stream.listen(this.#names());
    // The state of another epoch is obsolete.
    if (position !== "" && comparable) this.#cache.addMissing(state);
    if (first) {
      this.#stream.position = position;
      if (position !== "") this.#begin(known);
      this.#stream.reconnect();
      return;
    }
    this.announceState(member);
    if (position === "") this.#sendSnapshot(member, []);
    else if (comparable) this.#catchUp(member, known);
    else this.#sendGap(member, position, "epoch");
    this.#update();
  }

  change(key: string, wish: Wish): void {
    const member = this.#members.get(key);
    if (!member) return;
    const previous = member.matcher;
    member.change(wish);
    this.#stream.listen(this.#names());
    this.#sendAdded(member, previous);
    this.#update();
  }

  leave(key: string): void {
    if (!this.#members.delete(key)) return;
    if (!this.isEmpty) {
      this.#update();
      return;
    }
    clearTimeout(this.#changeTimer);
    this.#stream.close();
    this.#onConnections();
  }

  reconnect(): void {
    this.#denials = 0;
    for (const member of this.#members.values()) member.refusal = null;
    this.#stream.reconnect();
  }

  /** Send the state of the stream to one client, or to all clients. */
  announceState(only?: Member): void {
    for (const member of only ? [only] : this.#members.values()) {
      member.link.send({
        type: "state",
        subscription: member.subscription,
        state: {
          state: member.refusal ? "closed" : this.#stream.state,
          error: member.refusal ?? this.#error,
          clientId: this.#clientId,
          roundTripMs: this.#stream.roundTripMs,
          connections: this.#countConnections(),
        },
      });
    }
  }

  #changeState(state: StreamState, error: StreamError | null): void {
    this.#error = error;
    for (const member of this.#members.values()) {
      if (state === "open") member.refusal = null;
      else member.welcomed = false;
    }
    if (state === "open") accept(this.#admitted());
    if (state === "retrying") this.#denials = 0;
    if (state === "retrying" && isLastingRefusal(error)) this.#findRefused(error as StreamError);
    this.#onConnections();
    this.announceState();
  }

  /**
   * Choose the URL of the next connection. A new client id has no stored changes on the server.
   *
   * A stream that resumes sends only changes, so its URL contains only `symbols` whose state is known. The group adds the
   * others when the stream is open.
   */
  #begin(symbols: string[] = []): void {
    this.#clientId = `${this.#spec.clientName}-${crypto.getRandomValues(new Uint32Array(2)).join("-")}`;
    this.#initialSymbols = symbols.length > 0 ? symbols : this.#wanted().symbols;
    this.#requested = { symbols: this.#initialSymbols, interval: toMilliseconds(this.#spec.query.interval ?? "0") };
    this.#confirmed = "";
  }

  /** Bring the stream up to date after a change of the clients. A refused stream opens at once with the new symbols. */
  #update(): void {
    if (this.#stream.state === "retrying" && isLastingRefusal(this.#error)) this.#stream.reconnect();
    else void this.#applyChanges();
  }

  /** Send a client the events that it lacks. The server sends past events only of symbols in the URL. */
  #catchUp(member: Member, known: string[]): void {
    const { position } = this.#stream;
    const isAhead = isAtOrBefore(position, member.position);
    if (position === "" || !this.#subscribed.hasAll(known)) this.#restart(isAhead ? position : member.position, known);
    else if (isAhead) member.deliver(this.#currentWelcome, position);
    else this.#resume(member.position);
    this.#sendAdded(member, new SymbolMatcher(known));
  }

  #restart(position: string, known: string[]): void {
    const isNew = this.#stream.position === "";
    this.#begin(isNew ? known : unite([this.#requested?.symbols ?? this.#initialSymbols, known]));
    this.#resume(position);
    // The resumed stream sends no state to the clients that waited for the first connection.
    for (const member of this.#members.values()) if (isNew && member.position === "") this.#sendSnapshot(member, []);
  }

  /** Open the stream at an earlier position. The other clients skip the events that they have. */
  #resume(position: string): void {
    for (const member of this.#members.values()) member.skipUntil = member.position;
    this.#stream.resumeFrom(position);
  }

  /**
   * Open a new stream, because this group cannot change its stream. Report the events between the two streams as lost.
   */
  #openNew(): void {
    this.#leftAt = this.#stream.position;
    for (const member of this.#members.values()) {
      member.skipUntil = "";
      member.welcomed = false;
    }
    this.#stream.resumeFrom("");
  }

  /**
   * Handle the loss of the events after `from`. Return false if all clients lack these events.
   *
   * Otherwise send a gap and the current state to each client that lacks the events. The stream continues at the
   * position of the other clients.
   */
  #skipLoss(from: string): boolean {
    const isAhead = ({ position }: Member): boolean => position !== from && isAtOrBefore(from, position);
    const ahead = [...this.#members.values()].filter(isAhead);
    const [position] = ahead.map((member) => member.position).sort((a, b) => (isAtOrBefore(a, b) ? -1 : 1));
    if (position === undefined) return false;
    const subscribed = new SymbolMatcher(this.#initialSymbols);
    const known = unite(ahead.map(({ wish }) => wish.symbols)).filter((symbol) => subscribed.has(symbol));
    this.#cache.retain(new SymbolMatcher(known));
    this.#stream.position = position;
    for (const member of this.#members.values()) if (!isAhead(member)) this.#sendGap(member, from, "expired");
    this.#begin(known);
    this.#resume(position);
    return true;
  }

  /** Send a client a gap event for the events that it has lost, and then the current state. */
  #sendGap(member: Member, from: string, reason: Gap["reason"]): void {
    this.#sendSnapshot(member, [gapEvent(from, this.#stream.position, reason)]);
  }

  /**
   * Send the state of the symbols that a client has added. The server sends no state for symbols that the stream
   * already contains for another client.
   */
  #sendAdded(member: Member, previous: SymbolMatcher): void {
    const added = this.#cache.snapshot(member.matcher).filter((event) => {
      const symbol = symbolOfEvent(event);
      return event[0] === "matches" || (symbol !== null && !previous.has(symbol));
    });
    if (added.length === 0) return;
    const isComplete = this.#stream.state === "open" && this.#subscribed.hasAll(member.wish.symbols);
    if (isComplete && this.#confirmed) added.push(["subscription", this.#confirmed, ""]);
    member.deliver(added.map(withoutId), this.#stream.position);
  }

  #sendSnapshot(member: Member, before: RawEvent[]): void {
    const events = [...this.#currentWelcome, ...before, ...this.#cache.snapshot(member.matcher)];
    member.deliver(events, this.#stream.position);
  }

  /** The welcome for a client that joins an open stream. It contains the subscription in force. */
  get #currentWelcome(): RawEvent[] {
    if (this.#confirmed === "" || this.#stream.state !== "open") return [];
    const subscription: unknown = JSON.parse(this.#confirmed);
    return [["welcome", JSON.stringify({ ...this.#welcome, subscription }), ""]];
  }

  /** The symbols that the server sends, as far as they are known. */
  get #subscribed(): SymbolMatcher {
    return new SymbolMatcher(this.#requested?.symbols ?? []);
  }

  #receive(events: RawEvent[]): void {
    for (const event of events) {
      const [name, text] = event;
      if (name === "welcome") {
        this.#welcome = JSON.parse(text) as Welcome;
        this.#reportLoss(this.#welcome.head);
        this.#confirm(this.#welcome.subscription, true);
      } else if (name === "subscription") this.#confirm(JSON.parse(text) as Subscription, false);
      else if (name === "gap") {
        const { from, reason } = JSON.parse(text) as Gap;
        if (reason === "epoch") this.#cache.clear();
        else if (reason === "expired" && this.#skipLoss(from)) return;
      } else this.#cache.add(event);
    }
    for (const member of this.#members.values()) member.receive(events, this.#stream.position);
  }

  #reportLoss(head: string): void {
    const from = this.#leftAt;
    this.#leftAt = "";
    if (from === "" || isAtOrBefore(head, from)) return;
    for (const member of this.#members.values()) member.deliver([gapEvent(from, head, "expired")], member.position);
  }

  #confirm(subscription: Subscription, afterConnect: boolean): void {
    const text = JSON.stringify(subscription);
    // The server may have lost the changes. Then the group requests them again.
    if (afterConnect && this.#confirmed !== "" && this.#confirmed !== text) this.#requested = null;
    this.#confirmed = text;
    this.#cache.retain(new SymbolMatcher(subscription.symbols));
    void this.#applyChanges();
  }

  async #request(position: string): Promise<StreamRequest> {
    this.#credentials = await this.#findCredentials();
    if (position === "") this.#begin();
    const parameters = { ...this.#spec.query, ...this.#credentials.query, client_id: this.#clientId };
    const query = new URLSearchParams({ symbols: this.#initialSymbols.join(","), ...parameters });
    if (position !== "") query.set("last_event_id", position);
    return {
      url: `${this.#spec.server}v1/stream?${query}`,
      headers: this.#credentials.headers,
      withCredentials: this.#spec.withCredentials,
    };
  }

  /** Return the credentials of the first client that answers. */
  async #findCredentials(): Promise<Credentials> {
    let failure: unknown = new Error("no client has credentials");
    for (const member of [...this.#members.values()]) {
      try {
        return await member.link.credentials();
      } catch (error) {
        failure = error;
      }
    }
    throw failure;
  }

  /**
   * Return the clients whose symbols the group requests: all clients that do not wait, and the first client that waits.
   */
  #admitted(): Member[] {
    const members = [...this.#members.values()].filter(({ refusal }) => !refusal);
    const next = members.find(({ waiting }) => waiting);
    return members.filter((member) => !member.waiting || member === next);
  }

  #wanted(): Changeable {
    const wishes = this.#admitted().map(({ wish }) => wish);
    return {
      symbols: unite(wishes.map(({ symbols }) => symbols)),
      interval: Math.min(...wishes.map(({ interval }) => interval)),
    };
  }

  #names(): string[] {
    return [...this.#members.values()].flatMap(({ wish }) => wish.names);
  }

  /** Change the subscription on the server until it is what the clients want. */
  async #applyChanges(): Promise<void> {
    clearTimeout(this.#changeTimer);
    const [wanted, admitted] = [this.#wanted(), this.#admitted()];
    if (this.#changing || wanted.symbols.length === 0 || this.#stream.state !== "open") return;
    if (equal(this.#requested, wanted)) return;
    const { headers, query } = this.#credentials;
    // A ticket opens a stream, but does not allow changes.
    if (this.#denials >= MAX_DENIALS || (query.ticket !== undefined && headers.Authorization === undefined)) {
      this.#replaceStream(wanted);
      return;
    }
    this.#changing = true;
    const clientId = this.#clientId;
    const url = `${this.#spec.server}v1/clients/${clientId}`;
    const error = await changeSubscription(url, wanted, headers, this.#spec.withCredentials);
    this.#changing = false;
    let delay = 0;
    // Ignore the answer if it belongs to an earlier stream.
    if (clientId === this.#clientId) {
      if (error === null) {
        this.#requested = wanted;
        this.#denials = 0;
        accept(admitted);
      } else if (error.status === 401 || error.status === 404) {
        this.#deny(wanted);
        return;
      } else if (!isLastingRefusal(error)) delay = error.retryAfterMs ?? CHANGE_RETRY_MS;
      // If the server refuses a longer interval or fewer symbols, the request of a single client is not the cause.
      else if (!this.#refuse(error, this.#requested?.symbols ?? this.#initialSymbols)) this.#requested = wanted;
    }
    this.#changeTimer = setTimeout(() => void this.#applyChanges(), delay);
  }

  /** The server does not know the stream, or does not let this client change it. */
  #deny(wanted: Changeable): void {
    if (this.#stream.state !== "open") return;
    // The server may have dropped the reader, or the token has expired. The group tries again after the next welcome.
    if (++this.#denials < MAX_DENIALS) this.#resume(this.#stream.position);
    else this.#replaceStream(wanted);
  }

  /**
   * Open a new stream, unless the running stream contains all wanted symbols at the wanted interval or a shorter one.
   */
  #replaceStream({ symbols, interval }: Changeable): void {
    const isEnough = this.#subscribed.hasAll(symbols) && (this.#requested?.interval ?? 0) <= interval;
    if (!isEnough) this.#openNew();
  }

  /**
   * The server has refused the URL: find the client whose symbols are the reason. If only one client remains, the
   * symbols are not the reason, so the refusal applies to all clients.
   */
  #findRefused(error: StreamError): void {
    const members = [...this.#members.values()].filter(({ refusal }) => !refusal);
    if (members.length > 1) {
      this.#refuse(error, []);
      const subscribed = new SymbolMatcher(this.#initialSymbols);
      this.#begin(this.#wanted().symbols.filter((symbol) => subscribed.has(symbol)));
      queueMicrotask(() => this.#update());
      return;
    }
    for (const member of this.#members.values()) member.refusal = null;
    accept(this.#members.values());
  }

  /**
   * Refuse a client that wants more than the `accepted` symbols, and keep the stream of the other clients. If several
   * clients want more, try them one after the other. Return whether such a client exists.
   */
  #refuse(error: StreamError, accepted: string[]): boolean {
    const matcher = new SymbolMatcher(accepted);
    const tried = this.#admitted().filter(({ wish }) => !matcher.hasAll(wish.symbols));
    for (const member of tried) {
      member.waiting = tried.length > 1;
      if (member.waiting) continue;
      member.refusal = error;
      this.announceState(member);
    }
    return tried.length > 0;
  }
}

function accept(members: Iterable<Member>): void {
  for (const member of members) member.waiting = false;
}

const gapEvent = (from: string, to: string, reason: Gap["reason"]): RawEvent => [
  "gap",
  JSON.stringify({ from, to, reason } satisfies Gap),
  "",
];

/** An event that repeats a known state has no id, because ids must not decrease. */
const withoutId = ([name, text]: RawEvent): RawEvent => [name, text, ""];
