import assert from "node:assert/strict";
import { test } from "node:test";
import { complete } from "../src/screener/completion";

const values = (): string[] => ["Energy", "Technology"];

/** Return the suggestions at the end of a text. */
const suggest = (text: string): string[] => complete(text, text.length, values).options.map((option) => option.text);

test("fields are suggested by prefix first, then by a part of the name", () => {
  assert.deepEqual(suggest("vol"), ["volume", "volatility"]);
  assert.ok(suggest("rate").includes("change_rate"));
});

test("after a field, comparisons are suggested, and after a comparison, connectives", () => {
  assert.ok(suggest("volume ").includes(">"));
  assert.deepEqual(suggest("volume > 5 "), ["and", "or"]);
  assert.deepEqual(suggest("pe between 1 "), ["and"]);
  assert.deepEqual(suggest("pe between 1 and 2 "), ["and", "or"]);
});

test("a number may get more digits, so nothing is suggested directly after it", () => {
  assert.deepEqual(suggest("volume > 5"), []);
});

test("the values of a text field are suggested in quotes", () => {
  assert.deepEqual(suggest("sector = "), ['"Energy"', '"Technology"']);
  assert.deepEqual(suggest('sector in ("Energy", "T'), ['"Technology"']);
});

test("a suggestion replaces the word before the caret", () => {
  const { from, to, typed } = complete("last > 1 and vol", 16, values);
  assert.deepEqual([from, to, typed], [13, 16, "vol"]);
});

const aliases = { 涨跌幅: "change_rate", 涨跌额: "change", 行业: "sector", 且: "and", 或: "or" };
const suggestChinese = (text: string): string[] =>
  complete(text, text.length, values, aliases).options.map((option) => option.text);

test("Chinese names are understood, and suggested after a Chinese character", () => {
  assert.deepEqual(suggestChinese("涨跌"), ["涨跌幅", "涨跌额"]);
  assert.deepEqual(suggestChinese("last > 1 且 行"), ["行业"]);
  assert.ok(suggestChinese("涨跌幅 ").includes(">"));
  assert.deepEqual(suggestChinese("涨跌幅 > 3% "), ["and", "or"]);
  assert.deepEqual(suggestChinese("行业 = "), ['"Energy"', '"Technology"']);
});
