import type { TestContext } from "node:test";
import type { RawEvent } from "../src/events.ts";
import type { Host } from "../src/sharing/host.ts";
import type { Credentials, SharedState, StreamSpec, Subscribe, ToClient, ToHost } from "../src/sharing/messages.ts";

export const SPEC: Omit<StreamSpec, "server"> = {
  user: "",
  query: { events: "quote,message" },
  clientName: "test",
  transport: "fetch",
  backoff: { minMs: 1, maxMs: 5 },
  watchdog: null,
  withCredentials: false,
  renewable: false,
};

/** A page of the host. It acknowledges every message unless it sleeps. */
export class FakePage {
  readonly events: RawEvent[] = [];
  position = "";
  state: SharedState | null = null;
  resyncs = 0;
  asleep = false;
  credentials: Credentials = { headers: {}, query: {} };
  private readonly link;

  constructor(
    context: TestContext,
    host: Host,
    private readonly server: string,
  ) {
    this.link = host.connect((messages) => queueMicrotask(() => this.receive(messages)));
    context.after(() => this.send({ type: "detach" }));
  }

  subscribe(symbols: string[], changes: Partial<Subscribe> = {}): void {
    const wish = { symbols, interval: 0, names: [] };
    const spec = { ...SPEC, server: this.server };
    this.send({
      type: "subscribe",
      subscription: "1",
      spec,
      wish,
      position: "",
      known: symbols,
      state: [],
      ...changes,
    });
  }

  send(message: ToHost): void {
    this.link.receive(message);
  }

  /** The symbols and prices of all quotes. */
  get quotes(): [string, number][] {
    return this.events
      .filter(([name]) => name === "quote")
      .map(([, text]) => JSON.parse(text))
      .map(({ symbol, last }) => [symbol, last]);
  }

  private receive(messages: ToClient[]): void {
    for (const message of messages) {
      if (message.type === "events") {
        this.events.push(...message.events);
        this.position = message.position;
      } else if (message.type === "state") this.state = message.state;
      else if (message.type === "resync") this.resyncs += 1;
      else if (message.type === "credentials") {
        const result = this.credentials;
        queueMicrotask(() => this.send({ type: "credentials", request: message.request, result }));
      }
    }
    if (!this.asleep) this.send({ type: "acknowledge" });
  }
}
