import assert from "node:assert/strict";
import { test } from "node:test";
import { Backoff } from "../src/backoff.ts";
import { toMilliseconds } from "../src/interval.ts";
import { isAtOrBefore, sameEpoch } from "../src/position.ts";
import { EventRouter } from "../src/router.ts";
import { StateCache } from "../src/sharing/stateCache.ts";
import { SymbolMatcher, symbolOf, unite } from "../src/symbols.ts";

test("the backoff doubles up to its maximum, and its jitter covers the whole range", () => {
  const longest = new Backoff({ minMs: 500, maxMs: 4_000 }, () => 1);
  assert.deepEqual(
    Array.from({ length: 5 }, () => longest.next()),
    [500, 1_000, 2_000, 4_000, 4_000],
  );
  const shortest = new Backoff({ minMs: 500, maxMs: 4_000 }, () => 0);
  assert.deepEqual([shortest.next(), shortest.next()], [50, 50]);
});

test("the server's times replace the backoff: retry after each loss, a requested time once", () => {
  const backoff = new Backoff({ minMs: 500, maxMs: 4_000 }, () => 1);
  backoff.setRetry(1_234);
  assert.deepEqual([backoff.next(), backoff.next()], [1_234, 1_000]);
  backoff.request(7);
  assert.deepEqual([backoff.next(), backoff.next()], [7, 4_000]);
  backoff.reset();
  assert.equal(backoff.next(), 1_234);
});

test("ids are compared within an epoch only", () => {
  assert.ok(isAtOrBefore("a-9", "a-10"));
  assert.ok(isAtOrBefore("a-10", "a-10"));
  assert.ok(!isAtOrBefore("a-11", "a-10"));
  assert.ok(!isAtOrBefore("b-1", "a-10"));
  assert.ok(!isAtOrBefore("", "a-10"));
  assert.ok(sameEpoch("a-b-1", "a-b-2") && !sameEpoch("a-1", "b-1"));
});

test("symbols match exactly or by pattern", () => {
  const matcher = new SymbolMatcher(["AAPL", "BTC-*", "A?P", "X.Y"]);
  for (const symbol of ["AAPL", "BTC-", "BTC-USD", "AXP", "X.Y"]) assert.ok(matcher.has(symbol), symbol);
  for (const symbol of ["AAP", "BTC", "AXXP", "XAY", "aapl"]) assert.equal(matcher.has(symbol), symbol === "AAP");
  assert.deepEqual(
    unite([
      ["B", "A"],
      ["B", "C"],
    ]),
    ["A", "B", "C"],
  );
  assert.deepEqual(unite([["B"], ["*"]]), ["*"]);
});

test("the symbol of an event is found at any position", () => {
  assert.equal(symbolOf('{"symbol":"A","last":1}'), "A");
  assert.equal(symbolOf('{"filter":"x","symbol":"B"}'), "B");
  assert.equal(symbolOf('{"symbol":"\\"C"}'), '"C');
  assert.equal(symbolOf('{"symbol":null}'), null);
  assert.deepEqual([toMilliseconds("0"), toMilliseconds("250ms"), toMilliseconds("1.5s")], [0, 250, 1500]);
});

test("the router calls the handlers of a name, or else the default handler", () => {
  const router = new EventRouter();
  const calls: unknown[] = [];
  const handler = (data: unknown) => calls.push(data);
  router.setDefault((data) => calls.push(["default", data]));
  router.add("news", handler);
  router.dispatch(1, { name: "news", id: "", text: "1" });
  router.dispatch(2, { name: "other", id: "", text: "2" });
  router.remove("news", handler);
  router.dispatch(3, { name: "news", id: "", text: "3" });
  assert.deepEqual(calls, [1, ["default", 2], ["default", 3]]);
});

test("a snapshot contains the newest event of each symbol and the current matches", () => {
  const cache = new StateCache();
  const filter = "last > 1";
  cache.add(["matches", JSON.stringify({ filter, symbols: ["A", "B"] }), ""]);
  cache.add(["quote", '{"symbol":"A","last":1}', "e-1"]);
  cache.add(["quote", '{"symbol":"B","last":2}', "e-2"]);
  cache.add(["quote", '{"symbol":"A","last":3}', "e-3"]);
  cache.add(["leave", JSON.stringify({ filter, symbol: "B" }), "e-4"]);
  cache.add(["news", '{"symbol":"A"}', "e-5"]);
  assert.deepEqual(cache.snapshot(new SymbolMatcher(["*"])), [
    ["matches", JSON.stringify({ filter, symbols: ["A"] }), ""],
    ["quote", '{"symbol":"B","last":2}', "e-2"],
    ["quote", '{"symbol":"A","last":3}', "e-3"],
  ]);
  cache.retain(new SymbolMatcher(["B"]));
  assert.equal(cache.snapshot(new SymbolMatcher(["*"])).length, 2);
});
