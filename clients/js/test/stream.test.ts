import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { type ClientOptions, type ClientStatus, TickwireClient } from "../src/client.ts";
import { quote, startServer, WELCOME, waitFor, welcome } from "./fakeServer.ts";

/** Return a client without shared streams, and the states that it has had. It ends with the test. */
function connect(context: TestContext, options: ClientOptions) {
  const client = new TickwireClient({ symbols: ["A"], backoff: { minMs: 1, maxMs: 5 }, ...options });
  const states: ClientStatus[] = [];
  client.onState((status) => states.push(status));
  context.after(() => client.close());
  return { client, states };
}

test("a lost stream continues after its last event", async (context) => {
  const server = await startServer(context, ({ send, response }, number) => {
    send(WELCOME + quote("A", number, `e-${number}`));
    if (number < 3) response.destroy();
  });
  const { client } = connect(context, { server: server.url });
  const prices: unknown[] = [];
  client.on("quote", ({ last }, { id }) => prices.push([last, id]));
  await waitFor(() => server.streams.length === 3 && prices.length >= 1 && client.status().position === "e-3");
  const positions = server.streams.map(({ url }) => url.searchParams.get("last_event_id"));
  assert.equal(positions[0], null);
  assert.deepEqual(prices.at(-1), [3, "e-3"]);
});

test("heartbeats keep a quiet connection, and silence ends a half-open one", async (context) => {
  let beats = 0;
  const server = await startServer(context, ({ send }, number) => {
    send(WELCOME + quote("A", 1, "e-7"));
    if (number > 1) return;
    const timer = setInterval(() => {
      send(": hb 1 e-7\n\n");
      if (++beats === 20) clearInterval(timer);
    }, 20);
    context.after(() => clearInterval(timer));
  });
  const { states } = connect(context, { server: server.url, watchdog: 300 });
  await waitFor(() => server.streams.length === 2);
  assert.equal(beats, 20);
  assert.equal(server.streams[1]?.url.searchParams.get("last_event_id"), "e-7");
  assert.ok(states.some(({ state, lastError }) => state === "retrying" && lastError?.message.startsWith("no data")));
});

test("the dynamic time-out is three heartbeat intervals, with a floor", async (context) => {
  const server = await startServer(context, ({ send }) => send(welcome({ heartbeat: 0.01 })));
  const { client } = connect(context, { server: server.url });
  await waitFor(() => client.status().state === "open");
  const openedAt = performance.now();
  await waitFor(() => server.streams.length === 2);
  // The heartbeat interval is 10 ms, and the floor is 3 s.
  assert.ok(performance.now() - openedAt > 2_000);
});

test("the client waits as long as the server's bye asks for", async (context) => {
  const server = await startServer(context, ({ send, response }, number) => {
    send(WELCOME);
    if (number > 1) return;
    send('event: bye\ndata: {"reason":"drain","reconnect_in_ms":600}\n\n');
    response.end();
  });
  const startedAt = performance.now();
  const { client } = connect(context, { server: server.url });
  const byes: string[] = [];
  client.on("bye", ({ reason }) => byes.push(reason));
  await waitFor(() => server.streams.length === 2);
  assert.ok(performance.now() - startedAt >= 600);
  assert.deepEqual(byes, ["drain"]);
});

test("an expired token is final, unless a function returns another one", async (context) => {
  const server = await startServer(context, ({ send, headers }) => {
    const expired = headers.authorization === "Bearer old";
    send(WELCOME + (expired ? 'event: bye\ndata: {"reason":"expired","reconnect_in_ms":1}\n\n' : ""));
  });
  const first = connect(context, { server: server.url, token: "old" });
  const closed = await waitFor(() => first.states.find(({ state }) => state === "closed"));
  assert.equal(closed.lastError?.status, 401);
  assert.equal(server.streams.length, 1);
  let token = "old";
  const second = connect(context, { server: server.url, token: () => token });
  second.client.on("bye", () => {
    token = "new";
  });
  await waitFor(() => server.streams.length === 3 && second.client.status().state === "open");
  assert.equal(server.streams[2]?.headers.authorization, "Bearer new");
});

test("an evicted client returns only on demand, and then at its last position", async (context) => {
  const server = await startServer(context, ({ send }, number) => {
    send(WELCOME + quote("A", 1, "e-3"));
    if (number === 1) {
      send('id: e-3.evicted-1764000000\nevent: bye\ndata: {"reason":"evicted","reconnect_in_ms":1}\n\n');
    }
  });
  const { client, states } = connect(context, { server: server.url });
  const closed = await waitFor(() => states.find(({ state }) => state === "closed"));
  assert.equal(closed.lastError?.status, 204);
  assert.equal(server.streams.length, 1);
  client.reconnect();
  await waitFor(() => server.streams.length === 2 && client.status().state === "open");
  assert.equal(server.streams[1]?.url.searchParams.get("last_event_id"), "e-3");
});

test("a token that expires soon is replaced before, at the same position", async (context) => {
  const server = await startServer(context, ({ send }, number) => {
    send(WELCOME + quote("A", 1, "e-3"));
    if (number === 1) send('event: expiring\ndata: {"in_ms":2000}\n\n');
  });
  let tickets = 0;
  const { client, states } = connect(context, { server: server.url, ticket: () => `t${++tickets}` });
  await waitFor(() => server.streams.length === 2 && client.status().position === "e-3");
  const [first, second] = server.streams.map(({ url }) => url.searchParams);
  assert.deepEqual([first?.get("ticket"), second?.get("ticket")], ["t1", "t2"]);
  assert.equal(second?.get("last_event_id"), "e-3");
  assert.ok(!states.some(({ state }) => state === "retrying"));
});

test("a refusal shows the server's reason; 401 is final, and Retry-After is kept", async (context) => {
  const server = await startServer(context, ({ response, send }, number) => {
    if (number === 1) response.writeHead(503, { "Retry-After": "1" }).end('{"detail":"no room"}');
    else if (number === 2) response.writeHead(401).end('{"detail":"revoked"}');
    else send(WELCOME);
  });
  const startedAt = performance.now();
  const { client, states } = connect(context, { server: server.url });
  const closed = await waitFor(() => states.find(({ state }) => state === "closed"));
  assert.ok(performance.now() - startedAt >= 1_000);
  assert.equal(closed.lastError?.message, "revoked");
  assert.ok(states.some(({ state, lastError }) => state === "retrying" && lastError?.message === "no room"));
  client.reconnect();
  await waitFor(() => client.status().state === "open");
});

test("symbols are added and removed without a reconnect", async (context) => {
  const server = await startServer(context, ({ send }) => send(WELCOME));
  const { client } = connect(context, { server: server.url });
  await waitFor(() => client.status().state === "open");
  client.add("B");
  await waitFor(() => server.patches.length === 1);
  client.remove("A");
  await waitFor(() => server.patches.length === 2);
  const symbols = server.patches.map((each) => JSON.parse(each).symbols);
  assert.deepEqual(symbols, [["A", "B"], ["B"]]);
  assert.equal(server.streams.length, 1);
  assert.throws(() => client.remove("B"), RangeError);
});

test("quotes are handed out once per frame, the newest of each symbol", async (context) => {
  const server = await startServer(context, ({ send }) =>
    send(WELCOME + quote("A", 1, "e-1") + quote("A", 2, "e-2") + quote("B", 3, "e-3")),
  );
  const { client } = connect(context, { server: server.url, symbols: ["A", "B"] });
  const frames: [string, number | null][][] = [];
  client.onFrame((quotes) => frames.push([...quotes].map(([symbol, { last }]) => [symbol, last])));
  await waitFor(() => frames.length > 0);
  assert.deepEqual(frames.flat().at(-2), ["A", 2]);
  assert.deepEqual(frames.flat().at(-1), ["B", 3]);
});

test("an error in a handler does not disturb the others", async (context) => {
  const server = await startServer(context, ({ send }) => send(WELCOME + quote("A", 1, "e-1")));
  const { client } = connect(context, { server: server.url });
  const uncaught: unknown[] = [];
  const onUncaught = (error: unknown) => uncaught.push(error);
  process.setUncaughtExceptionCaptureCallback(onUncaught);
  context.after(() => process.setUncaughtExceptionCaptureCallback(null));
  client.on("quote", () => {
    throw new Error("broken");
  });
  const prices: unknown[] = [];
  client.on("quote", ({ last }) => prices.push(last));
  await waitFor(() => prices.length === 1 && uncaught.length === 1);
});

test("an error in a state handler does not affect the others, and a closed client hands out no frame", async (context) => {
  const server = await startServer(context, ({ send }) => send(WELCOME + quote("A", 1, "e-1")));
  const { client } = connect(context, { server: server.url });
  const uncaught: unknown[] = [];
  process.setUncaughtExceptionCaptureCallback((error) => uncaught.push(error));
  context.after(() => process.setUncaughtExceptionCaptureCallback(null));
  client.onState(() => {
    throw new Error("broken");
  });
  const states: string[] = [];
  client.onState(({ state }) => states.push(state));
  let frames = 0;
  client.onFrame(() => ++frames);
  client.on("quote", () => client.close());
  await waitFor(() => client.status().state === "closed" && uncaught.length > 0);
  assert.ok(states.includes("open"));
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.equal(frames, 0);
});
