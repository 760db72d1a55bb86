import type { ToClient } from "./messages.ts";

/** A page with more waiting events is too slow or asleep, and subscribes again when it answers. */
const MAX_WAITING_EVENTS = 50_000;
/** A page that does not answer for this long is asleep or gone. */
const MAX_SILENCE_MS = 60_000;

/**
 * The messages to one page.
 *
 * The next messages are sent when the page has acknowledged the previous ones. A busy page therefore receives fewer and
 * larger groups of messages, and a page that was closed or frozen fills a bounded amount of memory.
 */
export class Outbox {
  #waiting: ToClient[] = [];
  #events = 0;
  #sentAt: number | null = null;
  #asleep = false;

  readonly #post: (messages: ToClient[]) => void;
  readonly #onAsleep: () => void;

  constructor(post: (messages: ToClient[]) => void, onAsleep: () => void) {
    this.#post = post;
    this.#onAsleep = onAsleep;
  }

  send(message: ToClient): void {
    if (this.#asleep) return;
    this.#waiting.push(message);
    this.#events += message.type === "events" ? 1 + message.events.length : 1;
    if (this.#sentAt === null) this.#flush();
    else if (this.#events > MAX_WAITING_EVENTS) this.#fallAsleep();
  }

  acknowledge(): void {
    this.#sentAt = null;
    if (this.#asleep) {
      this.#asleep = false;
      this.send({ type: "resync" });
    } else if (this.#waiting.length > 0) this.#flush();
  }

  /** Check whether the page still answers. */
  ping(): void {
    if (this.#sentAt === null) this.send({ type: "ping" });
    else if (performance.now() - this.#sentAt > MAX_SILENCE_MS) this.#fallAsleep();
  }

  #flush(): void {
    const messages = this.#waiting;
    this.#waiting = [];
    this.#events = 0;
    this.#sentAt = performance.now();
    this.#post(messages);
  }

  #fallAsleep(): void {
    if (this.#asleep) return;
    this.#asleep = true;
    this.#waiting = [];
    this.#events = 0;
    this.#onAsleep();
  }
}
