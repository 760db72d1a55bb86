import assert from "node:assert/strict";
import { test } from "node:test";
import { type BoardState, boardQuery, DEFAULT_STATE, stateIn } from "../src/board/boardAddress";
import { toCsv } from "../src/board/csv";

test("the address keeps the state of the board", () => {
  const state: BoardState = {
    search: "a b&c",
    sort: { by: "rate", descending: true },
    grouped: true,
    sector: "",
    list: "",
  };
  assert.deepEqual(stateIn(new URLSearchParams(new URLSearchParams(boardQuery(state)).toString())), state);
});

test("an unchanged board has no query, and an empty query has no state", () => {
  assert.deepEqual(boardQuery(DEFAULT_STATE), {});
  assert.equal(stateIn(new URLSearchParams()), null);
});

test("an unknown column in the address is ignored", () => {
  assert.deepEqual(stateIn(new URLSearchParams("sort=-constructor")), DEFAULT_STATE);
});

test("fields of a CSV file are quoted where needed, and cannot be formulas", () => {
  const rows = [
    ["a", 'say "x"', null],
    ["1,5", -2.5, "=cmd()", "＝cmd()"],
  ];
  assert.equal(toCsv(rows), 'a,"say ""x""",\r\n"1,5",-2.5,\'=cmd(),\'＝cmd()\r\n');
});
