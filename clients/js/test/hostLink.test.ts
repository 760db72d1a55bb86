import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { TickwireClient } from "../src/client.ts";
import { HostLink } from "../src/sharing/hostLink.ts";
import type { Subscribe, ToClient, ToHost } from "../src/sharing/messages.ts";
import { waitFor } from "./fakeServer.ts";

/** A worker that records what the page sends. */
class FakeWorker {
  static readonly all: FakeWorker[] = [];
  onerror: (() => void) | null = null;
  readonly sent: ToHost[] = [];
  closed = false;
  readonly port = {
    onmessage: null as ((event: { data: ToClient[] }) => void) | null,
    postMessage: (message: ToHost) => this.sent.push(message),
    close: () => {
      this.closed = true;
    },
  };

  constructor() {
    FakeWorker.all.push(this);
  }
}

/** Give this process the parts of a browser that a page with a SharedWorker needs. */
function becomePage(context: TestContext, whoami: () => Response): void {
  const values = {
    document: { baseURI: "http://page/", addEventListener: () => undefined, removeEventListener: () => undefined },
    location: { origin: "http://page" },
    addEventListener: () => undefined,
    SharedWorker: FakeWorker,
    // Another page holds the lock.
    navigator: { locks: { request: () => new Promise(() => undefined) } },
    fetch: async () => whoami(),
  };
  // The link of a page ends with the page, so its interval would keep this process alive.
  context.mock.timers.enable({ apis: ["setInterval"] });
  for (const [name, value] of Object.entries(values)) {
    const before = Object.getOwnPropertyDescriptor(globalThis, name);
    Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
    context.after(() => {
      if (before) Object.defineProperty(globalThis, name, before);
      else Reflect.deleteProperty(globalThis, name);
    });
  }
}

test("a worker that is replaced after a silence sends nothing more to the page", (context) => {
  becomePage(context, () => Response.json({ user: null }));
  let now = 0;
  context.mock.method(performance, "now", () => now);
  const link = new HostLink("worker");
  let subscribed = 0;
  link.add("1", { receive: () => undefined, subscribeAgain: () => ++subscribed });
  const old = FakeWorker.all.at(-1) as FakeWorker;
  now = 90_000;
  context.mock.timers.tick(15_000);
  // A page that was frozen receives the messages that waited for it.
  old.port.onmessage?.({ data: [{ type: "ping" }] });
  context.mock.timers.tick(15_000);
  assert.equal(FakeWorker.all.at(-1), old);
  now = 180_000;
  context.mock.timers.tick(30_000);
  assert.notEqual(FakeWorker.all.at(-1), old);
  assert.equal(subscribed, 1);
  assert.deepEqual(
    [old.sent, old.closed, old.port.onmessage],
    [[{ type: "acknowledge" }, { type: "detach" }], true, null],
  );
});

test("a page leaves a leading page that hangs", (context) => {
  becomePage(context, () => Response.json({ user: null }));
  let now = 0;
  context.mock.method(performance, "now", () => now);
  const link = new HostLink("leader");
  let subscribed = 0;
  link.add("1", { receive: () => undefined, subscribeAgain: () => ++subscribed });
  now = 90_000;
  context.mock.timers.tick(30_000);
  assert.deepEqual([link.sharing, subscribed], ["page", 1]);
});

test("pages without a token share streams if the server sees the same user", async (context) => {
  let answer = { status: 200, user: null as string | null };
  becomePage(context, () => Response.json({ user: answer.user }, { status: answer.status }));
  const userOf = async (server: string): Promise<string> => {
    const client = new TickwireClient({ server });
    context.after(() => client.close());
    const sent = (): Subscribe[] =>
      FakeWorker.all.flatMap((worker) => worker.sent).filter((each) => each.type === "subscribe");
    const count = sent().length;
    await waitFor(() => sent().length > count);
    return (sent().at(-1) as Subscribe).spec.user;
  };
  const anonymous = await userOf("http://page/");
  answer = { status: 200, user: "ann" };
  const ann = await userOf("http://page/");
  answer = { status: 200, user: "bob" };
  const bob = await userOf("http://page/");
  answer = { status: 401, user: null };
  const unknown = await userOf("http://page/");
  assert.equal(new Set([anonymous, ann, bob, unknown]).size, 4);
  // Another origin receives no cookies.
  assert.equal(await userOf("http://other/"), anonymous);
});
