import "./fakePage";
import assert from "node:assert/strict";
import { test } from "node:test";
import type { BoardQuote, Instrument } from "../src/api/types";
import { type BoardQuery, buildLines } from "../src/board/lines";
import "./mapGroupBy";

const quotes = [
  { symbol: "B", last: 2, change_rate: 1, prev_close: 1 },
  { symbol: "A", last: 3, change_rate: null, prev_close: null },
  { symbol: "C", last: 1, change_rate: -1, prev_close: 2 },
] as BoardQuote[];
const instruments = new Map(
  [
    { symbol: "A", name: "Alpha", sector: "Energy" },
    { symbol: "C", name: "Gamma", sector: "Energy" },
  ].map((each) => [each.symbol, each as Instrument]),
);
const everything: BoardQuery = {
  search: "",
  only: null,
  sector: null,
  sort: { by: "symbol", descending: false },
  grouped: false,
  folded: new Set(),
};

const show = (query: Partial<BoardQuery>): string[] =>
  buildLines(quotes, instruments, { ...everything, ...query }, (sector) => sector || "Other").map((line) =>
    line.kind === "symbol" ? line.symbol : `${line.title} ${line.count}`,
  );

test("rows are in the order of a column, and rows without a value are last in both directions", () => {
  assert.deepEqual(show({}), ["A", "B", "C"]);
  assert.deepEqual(show({ sort: { by: "rate", descending: true } }), ["B", "C", "A"]);
  assert.deepEqual(show({ sort: { by: "rate", descending: false } }), ["C", "B", "A"]);
});

test("the search finds symbols and names, and a list and a sector restrict the rows", () => {
  assert.deepEqual(show({ search: " b" }), ["B"]);
  assert.deepEqual(show({ search: "gam" }), ["C"]);
  assert.deepEqual(show({ only: new Set(["B"]) }), ["B"]);
  assert.deepEqual(show({ sector: "Energy" }), ["A", "C"]);
});

test("groups have a header with their size, a folded one has no rows, and symbols without a sector are last", () => {
  assert.deepEqual(show({ grouped: true }), ["Energy 2", "A", "C", "Other 1", "B"]);
  assert.deepEqual(show({ grouped: true, folded: new Set(["Energy"]) }), ["Energy 2", "Other 1", "B"]);
});
