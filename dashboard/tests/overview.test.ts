import "./mapGroupBy";
import assert from "node:assert/strict";
import { test } from "node:test";
import type { BoardQuote, Instrument } from "../src/api/types";
import { byActivity, relativeToCurrency } from "../src/live/tradedValue";
import { summarize } from "../src/overview/marketSummary";
import { type Box, layoutTreemap } from "../src/overview/treemap";

const quote = (symbol: string, last: number | null, volume = 0): BoardQuote =>
  ({
    symbol,
    last,
    volume,
    turnover: (last ?? 0) * volume,
    prev_close: 100,
    change_rate: last === null ? null : last - 100,
  }) as BoardQuote;

const SECTORS = { A: "Energy", B: "Energy", C: "Utilities" };
const instruments = new Map(
  Object.entries(SECTORS).map(([symbol, sector]) => [symbol, { symbol, sector } as Instrument]),
);

test("movers and breadth", () => {
  const quotes = [quote("A", 103, 1), quote("B", 99, 50), quote("C", 100, 20), quote("D", null), quote("E", 101)];
  const summary = summarize(quotes, instruments);
  assert.deepEqual(summary.gainers, ["A", "E"]);
  assert.deepEqual(summary.losers, ["B"]);
  assert.deepEqual(summary.active, ["B", "C", "A"]);
  assert.deepEqual(summary.breadth, { rising: 2, falling: 1, unchanged: 1 });
  const sectors = summary.sectors.map(({ name, meanRate }) => [name, meanRate]);
  assert.deepEqual(sectors, [
    ["Energy", 1],
    ["", 1],
    ["Utilities", 0],
  ]);
});

test("values are compared within their currency", () => {
  const currencies = { US: "USD", CA: "USD", JP: "JPY" };
  const about = new Map(
    Object.entries(currencies).map(([symbol, currency]) => [symbol, { symbol, currency } as Instrument]),
  );
  const quotes = [quote("US", 10), quote("CA", 30), quote("JP", 9000)];
  const relative = relativeToCurrency(quotes, about, ({ last }) => last ?? 0);
  assert.deepEqual(quotes.map(relative), [0.5, 1.5, 1]);
});

test("the most active symbols have the highest turnover for their currency", () => {
  const about = new Map(
    Object.entries({ US: "USD", CA: "USD", JP: "JPY", KO: "JPY" }).map(([symbol, currency]) => [
      symbol,
      { symbol, currency } as Instrument,
    ]),
  );
  const quotes = [quote("KO", 9000, 40), quote("JP", 9000, 60), quote("US", 10, 10), quote("CA", 10, 90)];
  assert.deepEqual(
    byActivity(quotes, about).map(({ symbol }) => symbol),
    ["CA", "JP", "KO", "US"],
  );
});

test("the losers begin with the largest loss", () => {
  const quotes = Array.from({ length: 30 }, (_, index) => quote(`S${index}`, 99 - index));
  assert.deepEqual(summarize(quotes, instruments).losers.slice(0, 2), ["S29", "S28"]);
});

test("the area of a tile is in proportion to its weight, and tiles do not overlap", () => {
  const leaves = Array.from({ length: 20 }, (_, index) => ({
    symbol: `S${index}`,
    sector: index % 2 ? "odd" : "even",
    weight: index,
  }));
  const sectors = layoutTreemap(leaves, 1000, 600);
  const tiles = sectors.flatMap((sector) => sector.tiles);
  assert.equal(tiles.length, 19);
  const area = (symbol: string): number => {
    const tile = tiles.find((each) => each.symbol === symbol) as Box;
    return tile.width * tile.height;
  };
  assert.ok(Math.abs(area("S19") / area("S9") - 19 / 9) < 0.2);
  for (const [index, one] of tiles.entries()) {
    for (const other of tiles.slice(index + 1)) assert.ok(!overlap(one, other));
  }
});

test("a treemap without weights is empty", () => {
  assert.deepEqual(layoutTreemap([{ symbol: "A", sector: "", weight: 0 }], 100, 100), []);
});

const overlap = (one: Box, other: Box): boolean =>
  one.x < other.x + other.width &&
  other.x < one.x + one.width &&
  one.y < other.y + other.height &&
  other.y < one.y + one.height;
