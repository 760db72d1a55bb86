import assert from "node:assert/strict";
import { test } from "node:test";
import { type TapeQuote, TradeTape } from "../src/quotepanel/tradeTape";

const quote = (last: number, volume: number, bid: number | null = null, ask: number | null = null): TapeQuote => ({
  last,
  volume,
  bid,
  ask,
  open: 10,
  prev_close: 9,
  ts: 0,
});

function tapeOf(...quotes: TapeQuote[]): TradeTape {
  const tape = new TradeTape();
  for (const each of quotes) tape.add(each);
  return tape;
}

const summary = ({ entries }: TradeTape) =>
  entries.map((entry) => ("missing" in entry ? "missing" : [entry.price, entry.size, entry.side]));

test("a quote is a trade if the volume has grown", () => {
  const tape = tapeOf(quote(10, 100), quote(10, 100), quote(11, 130), quote(10.5, 135));
  assert.deepEqual(summary(tape), [
    [10.5, 5, "sell"],
    [11, 30, "buy"],
  ]);
});

test("the quote before a trade tells the side", () => {
  const tape = tapeOf(quote(10, 1, 9.9, 10.1), quote(10.1, 2, 9.9, 10.1), quote(9.9, 3, 9.9, 10.1), quote(10, 4));
  assert.deepEqual(
    summary(tape).map((entry) => entry[2]),
    ["buy", "sell", "buy"],
  );
});

test("a new session begins with a volume of zero", () => {
  assert.deepEqual(summary(tapeOf(quote(10, 500), { ...quote(12, 20), open: 12 })), [[12, 20, "buy"]]);
});

test("a correction of the volume is no trade", () => {
  const tape = tapeOf(quote(10, 500), quote(10, 480), quote(10, 485));
  assert.deepEqual(summary(tape), [[10, 5, null]]);
});

test("a gap is marked once, and the next quote is no trade", () => {
  const tape = tapeOf(quote(10, 1), quote(11, 2));
  tape.addGap();
  tape.add(quote(12, 50));
  tape.add(quote(12, 51));
  assert.deepEqual(summary(tape), [[12, 1, null], "missing", [11, 1, "buy"]]);
});

test("a tape is bounded", () => {
  const tape = tapeOf(...Array.from({ length: 1000 }, (_, index) => quote(10, index)));
  assert.equal(tape.entries.length, 300);
});
