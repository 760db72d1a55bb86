import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { TickwireClient } from "../src/client.ts";
import { quote, startServer, WELCOME, waitFor, welcome } from "./fakeServer.ts";

/** Give this process a page that can be hidden. The streams stay in the page. */
function becomePage(context: TestContext): (hidden: boolean) => void {
  const listeners = new Set<() => void>();
  const page = {
    hidden: false,
    baseURI: "http://page/",
    addEventListener: (_: string, listener: () => void) => listeners.add(listener),
    removeEventListener: (_: string, listener: () => void) => listeners.delete(listener),
  };
  // The link to the host already exists, and does not use the page.
  new TickwireClient({ server: "http://127.0.0.1:1/" }).close();
  Object.defineProperty(globalThis, "document", { value: page, configurable: true });
  context.after(() => Reflect.deleteProperty(globalThis, "document"));
  return (hidden) => {
    page.hidden = hidden;
    for (const listener of listeners) listener();
  };
}

test("a symbol that is added while the page is paused is no part of the resumed stream", async (context) => {
  const server = await startServer(context, ({ send }) => send(WELCOME + quote("A", 1, "e-1")));
  const hide = becomePage(context);
  const client = new TickwireClient({ server: server.url, symbols: ["A"], hiddenInterval: null, pauseAfterMs: 0 });
  context.after(() => client.close());
  await waitFor(() => client.status().position === "e-1");
  hide(true);
  await waitFor(() => client.status().state === "paused");
  client.add("B");
  hide(false);
  await waitFor(() => server.patches.length === 1);
  const resumed = server.streams[1]?.url.searchParams;
  assert.deepEqual([resumed?.get("symbols"), resumed?.get("last_event_id")], ["A", "e-1"]);
  assert.deepEqual(JSON.parse(server.patches[0] as string).symbols, ["A", "B"]);
});

test("a client forgets the state of an earlier epoch", async (context) => {
  const gap = { from: "e-1", to: "f-1", reason: "epoch" };
  const server = await startServer(context, ({ send, response }, number) => {
    if (number === 1) send(welcome({}, ["A", "B"]) + quote("A", 1, "e-1"));
    else send(`${welcome({}, ["A", "B"])}event: gap\ndata: ${JSON.stringify(gap)}\n\n${quote("B", 2, "f-1")}`);
    if (number === 1) response.end();
  });
  const hide = becomePage(context);
  const options = { server: server.url, symbols: ["A", "B"], backoff: { minMs: 1, maxMs: 5 } };
  const client = new TickwireClient({ ...options, pauseAfterMs: 0 });
  context.after(() => client.close());
  await waitFor(() => client.status().position === "f-1");
  hide(true);
  await waitFor(() => client.status().state === "paused");
  hide(false);
  await waitFor(() => server.streams.length === 3);
  // Another client of the page receives the state that the first one has kept.
  const second = new TickwireClient(options);
  context.after(() => second.close());
  const symbols: string[] = [];
  second.on("quote", ({ symbol }) => symbols.push(symbol));
  await waitFor(() => symbols.length > 0);
  assert.deepEqual([...new Set(symbols)], ["B"]);
});

test("a page that returns does not open a stream that the server has closed", async (context) => {
  const server = await startServer(context, ({ send }, number) => {
    send(WELCOME + quote("A", 1, "e-1"));
    if (number === 1) send('event: bye\ndata: {"reason":"evicted","reconnect_in_ms":1}\n\n');
  });
  const hide = becomePage(context);
  const client = new TickwireClient({ server: server.url, symbols: ["A"], hiddenInterval: null, pauseAfterMs: 0 });
  context.after(() => client.close());
  await waitFor(() => client.status().state === "closed");
  hide(true);
  await new Promise((resolve) => setTimeout(resolve, 20));
  hide(false);
  assert.equal(client.status().state, "closed");
  client.reconnect();
  await waitFor(() => client.status().state === "open");
  assert.equal(server.streams.length, 2);
});

test("a longer interval is requested of the running stream, and never shortens the interval of a hidden page", async (context) => {
  const server = await startServer(context, ({ send }) => send(WELCOME));
  const hide = becomePage(context);
  const client = new TickwireClient({ server: server.url, symbols: ["A"] });
  context.after(() => client.close());
  await waitFor(() => client.status().state === "open");
  const intervalAfter = async (change: () => void): Promise<string> => {
    const count = server.patches.length;
    change();
    await waitFor(() => server.patches.length === count + 1);
    return JSON.parse(server.patches.at(-1) as string).interval;
  };
  assert.equal(await intervalAfter(() => client.setInterval("250ms")), "250ms");
  assert.equal(await intervalAfter(() => hide(true)), "1000ms");
  assert.equal(await intervalAfter(() => client.setInterval("5s")), "5000ms");
  assert.equal(await intervalAfter(() => client.setInterval("0")), "1000ms");
  assert.equal(await intervalAfter(() => hide(false)), "0");
});
