import assert from "node:assert/strict";
import { test } from "node:test";
import { TickwireClient } from "../src/client.ts";
import { waitFor } from "./fakeServer.ts";

// tests/wire/test_javascript_client.py starts this server. It has a simulated market and requires the token.
const url = process.env.TICKWIRE_URL;
const token = process.env.TICKWIRE_TOKEN ?? "";

const post = (path: string, json: unknown) =>
  fetch(`${url}${path}`, {
    method: "POST",
    headers: { "Content-Type": "application/json", Authorization: `Bearer ${token}` },
    body: JSON.stringify(json),
  });

test("a real server: heartbeats are events if the program asks for them", { skip: !url }, async (context) => {
  const client = new TickwireClient({ server: url as string, symbols: ["SILENT"], heartbeats: "event", token });
  context.after(() => client.close());
  const heads: string[] = [];
  client.on("heartbeat", ({ ts, head }) => ts > 0 && heads.push(head));
  await waitFor(() => heads.length > 0);
  assert.match(heads[0] as string, /^[a-z0-9]+-\d+$/);
});

test("a real server: quotes, candles, a changed watchlist, messages, an eviction", { skip: !url }, async (context) => {
  const client = new TickwireClient({
    server: url as string,
    symbols: ["AAPL"],
    events: ["quote", "candle", "message"],
    candles: "1s",
    token: () => token,
    backoff: { minMs: 10, maxMs: 100 },
  });
  context.after(() => client.close());
  const symbols = new Set<string>();
  const closedCandles: string[] = [];
  const messages: [string, unknown][] = [];
  const ids: number[] = [];
  client.on("quote", ({ symbol, last }, { id }) => {
    assert.equal(typeof last, "number");
    symbols.add(symbol);
    if (id) ids.push(Number(id.split("-")[1]));
  });
  client.on("candle", (candle) => candle.closed && closedCandles.push(candle.symbol));
  client.onDefault((data, { name }) => messages.push([name, data]));
  await waitFor(() => symbols.has("AAPL") && closedCandles.length > 0);
  client.add("MSFT");
  await waitFor(() => symbols.has("MSFT"));
  const reasons: string[] = [];
  client.on("bye", ({ reason }) => reasons.push(reason));
  await fetch(`${url}/v1/clients/${client.status().clientId}`, {
    method: "DELETE",
    headers: { Authorization: `Bearer ${token}` },
  });
  await waitFor(() => reasons[0] === "evicted");
  const sent = await post("/v1/messages", { event: "news", data: { text: "sent before the reconnect" }, target: null });
  assert.equal(sent.status, 201);
  // An evicted client does not return by itself.
  client.reconnect();
  await waitFor(() => messages.some(([name]) => name === "news"));
  symbols.clear();
  await waitFor(() => symbols.has("AAPL") && symbols.has("MSFT"));
  assert.deepEqual(
    ids,
    [...ids].sort((a, b) => a - b),
  );
  client.remove("AAPL");
  await waitFor(() => client.status().state === "open");
  assert.equal(client.status().lastError?.message, "the server has evicted this reader");
});
