import { Group } from "./group.ts";
import type { Credentials, StreamSpec, Subscribe, ToClient, ToHost } from "./messages.ts";
import { Outbox } from "./outbox.ts";

const PING_MS = 15_000;
/** The time in which a page has to send the credentials of a new connection. */
const CREDENTIALS_TIMEOUT_MS = 10_000;

/** The receiving end of one page at the host. */
export interface PageLink {
  receive(message: ToHost): void;
}

/** Holds the streams of all pages. It runs in a SharedWorker, in the leading page, or in the only page. */
export class Host {
  readonly #groups = new Map<string, Group>();
  #announcing = false;
  #pages = 0;
  #unshared = 0;

  /** Add a page. `post` sends it a group of messages. */
  connect(post: (messages: ToClient[]) => void): PageLink {
    return new Page(this, ++this.#pages, post);
  }

  /**
   * Return the group of clients with these options.
   *
   * A client that begins with past events has a group of its own. A client with an order also has a group of its own,
   * because the symbols of other clients would change the first symbols in this order.
   */
  groupOf(spec: StreamSpec): Group {
    const isShareable = spec.query.since === undefined && spec.query.order === undefined;
    const number = isShareable ? 0 : ++this.#unshared;
    const key = JSON.stringify([spec, Object.entries(spec.query).sort(), number]);
    for (const [each, group] of this.#groups) if (group.isEmpty) this.#groups.delete(each);
    const group =
      this.#groups.get(key) ??
      new Group(
        spec,
        () => this.#announceConnections(),
        () => this.#connections,
      );
    this.#groups.set(key, group);
    return group;
  }

  get #connections(): number {
    return [...this.#groups.values()].filter((group) => group.isConnected && !group.isEmpty).length;
  }

  /** Send the new number of connections to all clients. */
  #announceConnections(): void {
    if (this.#announcing) return;
    this.#announcing = true;
    queueMicrotask(() => {
      this.#announcing = false;
      for (const group of this.#groups.values()) group.announceState();
    });
  }
}

/** One page with its subscriptions. */
class Page implements PageLink {
  readonly #groups = new Map<string, Group>();
  readonly #outbox: Outbox;
  readonly #requests = new Map<number, (answer: ToHost & { type: "credentials" }) => void>();
  #nextRequest = 0;
  #timer: ReturnType<typeof setInterval> | undefined;

  readonly #host: Host;
  readonly #number: number;

  constructor(host: Host, number: number, post: (messages: ToClient[]) => void) {
    this.#host = host;
    this.#number = number;
    this.#outbox = new Outbox(post, () => this.#detach());
  }

  receive(message: ToHost): void {
    if (message.type === "acknowledge") this.#outbox.acknowledge();
    else if (message.type === "subscribe") this.#subscribe(message);
    else if (message.type === "detach") this.#detach();
    else if (message.type === "credentials") this.#answer(message);
    else if (message.type === "unsubscribe") this.#unsubscribe(message.subscription);
    else if (message.type === "wish")
      this.#groups.get(message.subscription)?.change(this.#keyOf(message.subscription), message.wish);
    else this.#groups.get(message.subscription)?.reconnect();
  }

  #subscribe(message: Subscribe): void {
    const { subscription, spec } = message;
    this.#unsubscribe(subscription);
    this.#timer ??= setInterval(() => this.#outbox.ping(), PING_MS);
    const group = this.#host.groupOf(spec);
    this.#groups.set(subscription, group);
    group.join(this.#keyOf(subscription), message, {
      send: (each) => this.#outbox.send(each),
      credentials: () => this.#requestCredentials(subscription),
    });
  }

  #unsubscribe(subscription: string): void {
    this.#groups.get(subscription)?.leave(this.#keyOf(subscription));
    this.#groups.delete(subscription);
    if (this.#groups.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #answer(message: ToHost & { type: "credentials" }): void {
    this.#requests.get(message.request)?.(message);
    this.#requests.delete(message.request);
  }

  #keyOf(subscription: string): string {
    return `${this.#number} ${subscription}`;
  }

  #detach(): void {
    for (const subscription of [...this.#groups.keys()]) this.#unsubscribe(subscription);
  }

  async #requestCredentials(subscription: string): Promise<Credentials> {
    const request = this.#nextRequest++;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const answer = await new Promise<ToHost & { type: "credentials" }>((resolve, reject) => {
      this.#requests.set(request, resolve);
      timer = setTimeout(() => {
        this.#requests.delete(request);
        reject(new Error("the page sent no credentials"));
      }, CREDENTIALS_TIMEOUT_MS);
      this.#outbox.send({ type: "credentials", subscription, request });
    });
    clearTimeout(timer);
    if ("status" in answer.result) throw answer.result;
    return answer.result;
  }
}
