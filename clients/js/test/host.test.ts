import assert from "node:assert/strict";
import { test } from "node:test";
import { Host } from "../src/sharing/host.ts";
import { FakePage, SPEC } from "./fakePage.ts";
import { quote, startServer, waitFor, welcome } from "./fakeServer.ts";

test("pages share one stream, and each receives the events of its own symbols", async (context) => {
  const server = await startServer(context, ({ send }) => send(welcome({}) + quote("A", 1, "e-1")));
  const host = new Host();
  const [first, second] = [new FakePage(context, host, server.url), new FakePage(context, host, server.url)];
  first.subscribe(["A"]);
  await waitFor(() => first.quotes.length === 1);
  second.subscribe(["A", "B"]);
  // The snapshot of A comes from the shared stream. The server sends that of B after the change.
  await waitFor(() => second.quotes.length === 1 && server.patches.length === 1);
  assert.deepEqual(JSON.parse(server.patches[0] as string).symbols, ["A", "B"]);
  const [stream] = server.streams;
  stream?.send(`${quote("B", 2, "")}event: news\nid: e-2\ndata: {"symbol":"B"}\n\n${quote("A", 3, "e-3")}`);
  await waitFor(() => first.position === "e-3" && second.position === "e-3");
  assert.deepEqual(first.quotes, [
    ["A", 1],
    ["A", 3],
  ]);
  assert.deepEqual(second.quotes, [
    ["A", 1],
    ["B", 2],
    ["A", 3],
  ]);
  assert.ok([first, second].every(({ events }) => events.some(([name]) => name === "news")));
  assert.equal(server.streams.length, 1);
  first.send({ type: "unsubscribe", subscription: "1" });
  second.send({ type: "wish", subscription: "1", wish: { symbols: ["B"], interval: 0, names: [] } });
  await waitFor(() => server.patches.length === 2);
  second.send({ type: "unsubscribe", subscription: "1" });
  await waitFor(() => stream?.response.destroyed || stream?.response.closed);
});

test("pages with other options or another user have their own stream", async (context) => {
  const server = await startServer(context, ({ send }) => send(welcome({})));
  const host = new Host();
  const pages = [{}, { user: "other" }, { query: { fields: "last" } }].map((changes) => {
    const page = new FakePage(context, host, server.url);
    page.subscribe(["A"], { spec: { ...SPEC, server: server.url, ...changes } });
    return page;
  });
  await waitFor(() => pages.every(({ state }) => state?.state === "open" && state.connections === 3));
  assert.equal(server.streams.length, 3);
});

test("a page that missed events receives them, and the others receive none twice", async (context) => {
  const server = await startServer(context, ({ send, url }) => {
    const from = Number(url.searchParams.get("last_event_id")?.slice(2) ?? 0);
    const events = [1, 2, 3, 4, 5].filter((each) => each > from).map((each) => quote("A", each, `e-${each}`));
    send(welcome({}) + events.join(""));
  });
  const host = new Host();
  const [first, late] = [new FakePage(context, host, server.url), new FakePage(context, host, server.url)];
  first.subscribe(["A"]);
  await waitFor(() => first.position === "e-5");
  late.subscribe(["A"], { position: "e-2", state: [] });
  await waitFor(() => late.position === "e-5");
  assert.deepEqual(
    late.quotes.map(([, last]) => last),
    [3, 4, 5],
  );
  assert.deepEqual(
    first.quotes.map(([, last]) => last),
    [1, 2, 3, 4, 5],
  );
  assert.equal(first.state?.state, "open");
  server.streams.at(-1)?.send(quote("A", 6, "e-6"));
  await waitFor(() => first.position === "e-6" && late.position === "e-6");
});

test("the pages of a lost host begin again at the oldest position, with the symbols of all", async (context) => {
  const server = await startServer(context, ({ send, url }) => {
    const from = Number(url.searchParams.get("last_event_id")?.slice(2) ?? 0);
    const symbols = (url.searchParams.get("symbols") ?? "").split(",");
    const events = [1, 2, 3, 4].map((each) => [each % 2 ? "A" : "B", each] as const);
    const missed = events.filter(([symbol, each]) => each > from && symbols.includes(symbol));
    send(welcome({}, symbols) + missed.map(([symbol, each]) => quote(symbol, each, `e-${each}`)).join(""));
  });
  const host = new Host();
  const [first, second] = [new FakePage(context, host, server.url), new FakePage(context, host, server.url)];
  first.subscribe(["A"], { position: "e-2", state: [["quote", '{"symbol":"A","last":1}', "e-1"]] });
  second.subscribe(["B"], { position: "e-1" });
  await waitFor(() => first.position === "e-4" && second.position === "e-4");
  assert.deepEqual(first.quotes, [["A", 3]]);
  assert.deepEqual(second.quotes, [
    ["B", 2],
    ["B", 4],
  ]);
  // A new page receives the state from the cache, also that which only the first page knew.
  const third = new FakePage(context, host, server.url);
  third.subscribe(["A", "B"]);
  await waitFor(() => third.quotes.length === 2);
});

test("a page that sleeps takes no memory, and subscribes again when it wakes", async (context) => {
  const server = await startServer(context, ({ send }) => send(welcome({})));
  const page = new FakePage(context, new Host(), server.url);
  page.subscribe(["A"]);
  await waitFor(() => page.state?.state === "open");
  page.asleep = true;
  const [stream] = server.streams;
  const batch = Array.from({ length: 10_000 }, () => quote("A", 1, "")).join("");
  for (let count = 0; count < 7; count++) stream?.send(batch);
  // The host closes the stream, because nobody reads it.
  await waitFor(() => stream?.response.destroyed || stream?.response.closed);
  page.send({ type: "acknowledge" });
  await waitFor(() => page.resyncs === 1);
});

test("a client whose symbol the server refuses does not disturb the others", async (context) => {
  const server = await startServer(context, ({ send }) => send(welcome({})));
  const host = new Host();
  const [first, second] = [new FakePage(context, host, server.url), new FakePage(context, host, server.url)];
  first.subscribe(["A"]);
  await waitFor(() => first.state?.state === "open");
  server.refusal = { status: 403, detail: "not allowed" };
  second.subscribe(["B"]);
  await waitFor(() => second.state?.state === "closed");
  assert.equal(second.state?.error?.message, "not allowed");
  assert.equal(first.state?.state, "open");
});
