import assert from "node:assert/strict";
import { test } from "node:test";
import { Host } from "../src/sharing/host.ts";
import { FakePage, SPEC } from "./fakePage.ts";
import { type FakeStream, quote, startServer, waitFor, welcome } from "./fakeServer.ts";

const idOf = ({ url }: FakeStream): number => Number(url.searchParams.get("last_event_id")?.slice(2) ?? 0);
const symbolsOf = (stream: FakeStream | undefined): string | null | undefined =>
  stream?.url.searchParams.get("symbols");
const gap = (from: string, to: string, reason: string): string =>
  `event: gap\ndata: ${JSON.stringify({ from, to, reason })}\n\n`;

test("the state of another epoch does not replace the current state", async (context) => {
  const server = await startServer(context, ({ send }) => send(welcome({}) + quote("A", 99, "f-1")));
  const host = new Host();
  const [first, late, third] = [0, 1, 2].map(() => new FakePage(context, host, server.url)) as FakePage[];
  first?.subscribe(["A"]);
  await waitFor(() => first?.position === "f-1");
  late?.subscribe(["A"], { position: "e-7", state: [["quote", '{"symbol":"A","last":10}', "e-7"]] });
  third?.subscribe(["A"]);
  await waitFor(() => late?.position === "f-1" && third?.position === "f-1");
  assert.deepEqual([late?.quotes, third?.quotes], [[["A", 99]], [["A", 99]]]);
  assert.ok(late?.events.some(([name]) => name === "gap"));
});

test("a change is tried again after a reconnect if the server has lost the reader", async (context) => {
  const server = await startServer(context, ({ send }, number) => {
    if (number === 2) server.refusal = null;
    send(welcome({}) + quote("A", 1, "e-1"));
  });
  const page = new FakePage(context, new Host(), server.url);
  page.subscribe(["A"]);
  await waitFor(() => page.position === "e-1");
  server.refusal = { status: 404, detail: "no such client" };
  page.send({ type: "wish", subscription: "1", wish: { symbols: ["A", "B"], interval: 0, names: [] } });
  await waitFor(() => server.patches.length === 2);
  const [first, second] = server.streams;
  assert.equal(second?.url.searchParams.get("client_id"), first?.url.searchParams.get("client_id"));
  assert.equal(second?.url.searchParams.get("last_event_id"), "e-1");
  assert.equal(page.state?.state, "open");
});

for (const status of [401, 404]) {
  test(`a group that may not change its stream (${status}) opens a new one for more symbols`, async (context) => {
    const server = await startServer(context, (stream) => {
      const events = [quote("A", 1, "e-1"), symbolsOf(stream) === "A,B" ? quote("B", 2, "e-2") : ""];
      stream.send(welcome({ head: "e-2" }) + events.join(""));
    });
    server.refusal = { status, detail: "no" };
    const page = new FakePage(context, new Host(), server.url);
    page.subscribe(["A"]);
    await waitFor(() => page.position === "e-1");
    const wish = { symbols: ["A", "B"], interval: 0, names: [] };
    page.send({ type: "wish", subscription: "1", wish });
    await waitFor(() => page.position === "e-2");
    assert.equal(server.streams.at(-1)?.url.searchParams.get("last_event_id"), null);
    assert.deepEqual(page.quotes.at(-1), ["B", 2]);
    assert.equal(page.events.filter(([name]) => name === "welcome").length, 2);
    const lost = page.events.filter(([name]) => name === "gap").map(([, text]) => JSON.parse(text));
    assert.deepEqual(lost, [{ from: "e-1", to: "e-2", reason: "expired" }]);
    // A longer interval or fewer symbols need no other stream, and no further request.
    const [streams, patches] = [server.streams.length, server.patches.length];
    page.send({ type: "wish", subscription: "1", wish: { symbols: ["A"], interval: 1000, names: [] } });
    page.send({ type: "wish", subscription: "1", wish });
    server.streams.at(-1)?.send(quote("A", 3, "e-3"));
    await waitFor(() => page.position === "e-3");
    assert.deepEqual([server.streams.length, server.patches.length], [streams, patches]);
  });
}

test("a page with a ticket requests no change", async (context) => {
  const server = await startServer(context, ({ send }, number) =>
    send(welcome({}) + quote("A", number, `e-${number}`)),
  );
  const page = new FakePage(context, new Host(), server.url);
  page.credentials = { headers: {}, query: { ticket: "t" } };
  page.subscribe(["A"]);
  await waitFor(() => page.position === "e-1");
  page.send({ type: "wish", subscription: "1", wish: { symbols: ["A"], interval: 1000, names: [] } });
  page.send({ type: "wish", subscription: "1", wish: { symbols: ["A", "B"], interval: 1000, names: [] } });
  await waitFor(() => page.position === "e-2");
  assert.deepEqual(server.streams.map(symbolsOf), ["A", "A,B"]);
  assert.deepEqual(server.patches, []);
});

test("a client that joins learns the subscription in force", async (context) => {
  const server = await startServer(context, ({ send }) => send(welcome({}) + quote("A", 1, "e-1")));
  const host = new Host();
  const [first, second] = [new FakePage(context, host, server.url), new FakePage(context, host, server.url)];
  first.subscribe(["A", "B"]);
  await waitFor(() => first.position === "e-1");
  const subscription = { symbols: ["A", "B"], events: ["quote"], interval: 0 };
  server.streams[0]?.send(`event: subscription\ndata: ${JSON.stringify(subscription)}\n\n${quote("B", 2, "e-2")}`);
  await waitFor(() => first.position === "e-2");
  second.subscribe(["B"]);
  await waitFor(() => second.quotes.length === 1);
  const [event] = second.events.filter(([name]) => name === "welcome");
  assert.deepEqual(JSON.parse(event?.[1] ?? "").subscription, subscription);
});

test("a resumed stream asks for the state of symbols that no client knows", async (context) => {
  const server = await startServer(context, ({ send }, number) => {
    if (number > 1) send(welcome({}, ["A"]));
  });
  const host = new Host();
  const [early, returning] = [new FakePage(context, host, server.url), new FakePage(context, host, server.url)];
  // The first stream does not open.
  early.subscribe(["A", "B"]);
  await waitFor(() => server.streams.length === 1);
  const state = [["quote", '{"symbol":"A","last":1}', "e-4"] as const];
  returning.subscribe(["A", "C"], { position: "e-5", known: ["A"], state });
  await waitFor(() => server.patches.length === 1);
  assert.equal(symbolsOf(server.streams[1]), "A");
  assert.equal(server.streams[1]?.url.searchParams.get("last_event_id"), "e-5");
  assert.deepEqual(JSON.parse(server.patches[0] as string).symbols, ["A", "B", "C"]);
  assert.deepEqual(early.quotes, [["A", 1]]);
});

test("only the client whose position has expired receives a gap", async (context) => {
  const events = [5, 6, 7, 8];
  const server = await startServer(context, (stream, number) => {
    const from = idOf(stream);
    const lost = number > 1 && from < 4;
    const sent = lost ? [8] : events.filter((each) => each > from && (number > 1 || each < 7));
    const quotes = sent.map((each) => quote("A", each, `e-${each}`)).join("");
    stream.send(welcome({}) + (lost ? gap(`e-${from}`, "e-8", "expired") : "") + quotes);
  });
  const host = new Host();
  const [healthy, sleeper] = [new FakePage(context, host, server.url), new FakePage(context, host, server.url)];
  healthy.subscribe(["A"]);
  await waitFor(() => healthy.position === "e-6");
  sleeper.subscribe(["A"], { position: "e-1" });
  await waitFor(() => healthy.position === "e-8" && sleeper.position === "e-8");
  assert.deepEqual(
    healthy.quotes.map(([, last]) => last),
    events,
  );
  assert.ok(!healthy.events.some(([name]) => name === "gap"));
  const [lost] = sleeper.events.filter(([name]) => name === "gap").map(([, text]) => JSON.parse(text));
  assert.deepEqual(lost, { from: "e-1", to: "e-6", reason: "expired" });
  assert.deepEqual(
    sleeper.quotes.map(([, last]) => last),
    [6, 7, 8],
  );
});

test("a client that begins with past events has a stream of its own", async (context) => {
  const server = await startServer(context, ({ send }) => send(welcome({})));
  const host = new Host();
  const spec = { ...SPEC, server: server.url, query: { since: "e-1" } };
  const pages = [0, 1].map(() => new FakePage(context, host, server.url));
  for (const page of pages) page.subscribe(["A"], { spec });
  await waitFor(() => pages.every(({ state }) => state?.state === "open"));
  assert.deepEqual(
    server.streams.map(({ url }) => url.searchParams.get("since")),
    ["e-1", "e-1"],
  );
});

test("clients with an order have streams of their own, because other symbols would change the first ones", async (context) => {
  const server = await startServer(context, ({ send }) => send(welcome({})));
  const host = new Host();
  const spec = { ...SPEC, server: server.url, query: { order: "last desc", top: "3" } };
  const pages = [0, 1].map(() => new FakePage(context, host, server.url));
  for (const [index, page] of pages.entries()) page.subscribe(["AB".charAt(index)], { spec });
  await waitFor(() => pages.every(({ state }) => state?.state === "open"));
  assert.deepEqual(server.streams.map(({ url }) => url.searchParams.get("symbols")).sort(), ["A", "B"]);
});

test("one invalid symbol closes only the client that wants it", async (context) => {
  const server = await startServer(context, () => undefined);
  const host = new Host();
  const [first, good, bad] = [0, 1, 2].map(() => new FakePage(context, host, server.url)) as FakePage[];
  first?.subscribe(["A"]);
  await waitFor(() => server.streams.length === 1);
  server.invalid = ["?!"];
  good?.subscribe(["B"]);
  bad?.subscribe(["?!"]);
  server.streams[0]?.send(welcome({}));
  await waitFor(() => bad?.state?.state === "closed" && server.patches.length >= 3);
  assert.equal(bad?.state?.error?.message, "invalid symbol");
  assert.deepEqual(
    server.patches.map((each) => JSON.parse(each).symbols.join()),
    ["?!,A,B", "A,B", "?!,A,B"],
  );
  assert.deepEqual([first?.state?.state, good?.state?.state], ["open", "open"]);
});

test("an invalid symbol in the URL does not keep the others from their stream", async (context) => {
  const server = await startServer(context, (stream) => {
    if (symbolsOf(stream)?.includes("?!")) stream.response.writeHead(400).end('{"detail":"invalid symbol"}');
    else stream.send(welcome({}));
  });
  server.invalid = ["?!"];
  const host = new Host();
  const [bad, good] = [new FakePage(context, host, server.url), new FakePage(context, host, server.url)];
  bad.subscribe(["?!"]);
  await waitFor(() => bad.state?.state === "retrying");
  good.subscribe(["A"]);
  await waitFor(() => good.state?.state === "open" && bad.state?.state === "closed");
  assert.equal(symbolsOf(server.streams.at(-1)), "A");
});

test("a stream that the server has evicted does not open for a returning client", async (context) => {
  const server = await startServer(context, ({ send }, number) => {
    send(welcome({}) + quote("A", 1, "e-3"));
    if (number === 1) send('event: bye\ndata: {"reason":"evicted","reconnect_in_ms":1}\n\n');
  });
  const host = new Host();
  const [first, late] = [new FakePage(context, host, server.url), new FakePage(context, host, server.url)];
  first.subscribe(["A"]);
  await waitFor(() => first.state?.state === "closed");
  late.subscribe(["A"], { position: "e-1" });
  await waitFor(() => late.state?.state === "closed");
  late.send({ type: "reconnect", subscription: "1" });
  await waitFor(() => first.state?.state === "open" && late.state?.state === "open");
  assert.equal(server.streams.length, 2);
});

test("an event without an id is a repetition if the quote after it is one", async (context) => {
  const enter = (last: number): string =>
    `event: enter\ndata: {"filter":"x","symbol":"A","quote":{"last":${last}}}\n\n`;
  const server = await startServer(context, (stream) => {
    const sent = [2, 3].filter((each) => each > idOf(stream));
    stream.send(welcome({}) + sent.map((each) => enter(each) + quote("A", each, `e-${each}`)).join(""));
  });
  const host = new Host();
  const [first, late] = [new FakePage(context, host, server.url), new FakePage(context, host, server.url)];
  first.subscribe(["A"]);
  await waitFor(() => first.position === "e-3");
  late.subscribe(["A"], { position: "e-1" });
  await waitFor(() => late.position === "e-3");
  const entered = (page: FakePage) => page.events.filter(([name]) => name === "enter").length;
  assert.deepEqual([entered(first), entered(late)], [2, 2]);
});
