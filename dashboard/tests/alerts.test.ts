import assert from "node:assert/strict";
import { test } from "node:test";
import { enabled, isReached, newMatches, type PriceAlert, sideFor } from "../src/alerts/alertRules";
import { messageText } from "../src/alerts/messageText";

const line = (price: number, side: PriceAlert["side"]): PriceAlert => ({
  kind: "price",
  id: "1",
  symbol: "A",
  price,
  side,
  on: true,
});

test("a new line waits for the side that the price has not reached", () => {
  assert.equal(sideFor(100, 99), "above");
  assert.equal(sideFor(100, 101), "below");
  assert.equal(sideFor(100, null), "above");
});

test("a line is reached at its price and beyond", () => {
  assert.deepEqual(
    [99.9, 100, 105].map((last) => isReached(line(100, "above"), last)),
    [false, true, true],
  );
  assert.deepEqual(
    [100.1, 100, 90].map((last) => isReached(line(100, "below"), last)),
    [false, true, true],
  );
});

test("a line that is switched on again waits for the other side", () => {
  const fired = { ...line(100, "above"), on: false };
  assert.deepEqual(enabled(fired, 105), line(100, "below"));
  assert.deepEqual(enabled(fired, null), line(100, "above"));
});

test("the matches of the first check are no news", () => {
  assert.deepEqual(newMatches(undefined, ["A"]), []);
  assert.deepEqual(newMatches(new Set(["A"]), ["A", "B"]), ["B"]);
});

test("the text of a message is its member text, or the whole message", () => {
  assert.equal(messageText('{"text": "Halt at noon"}'), "Halt at noon");
  assert.equal(messageText('"Halt"'), "Halt");
  assert.equal(messageText('{"level": 3}'), '{"level": 3}');
});
